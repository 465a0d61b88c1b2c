"""torch 2.13."""

TORCH = (2, 13)

lazy_graph_module = "native"
realize_on_reuse = "noop"
view_meta_cache = "backport"
fx_strides = "native"
cpp_indirect_assert = "native"
operator_str = "native"
fx_cache_pickle = "native"
symbolic_view_meta = "native"
atomic_artifact_save = "native"
aot_runtime_env = "native"
lazy_graph_break = "backport"
pattern_matcher_dtypes = "backport"
cache_dir = "native"  # pytorch#184208
split_module_tuple_return = "native"
autotune_raw_stream = "native"
fx_node_creation = "backport"
vector_isa_probe = "backport"
