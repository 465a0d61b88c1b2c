"""torch 2.12."""

TORCH = (2, 12)

lazy_graph_module = "native"  # pytorch#177907
realize_on_reuse = "noop"  # pytorch#176994 was backed out
view_meta_cache = "backport"
fx_strides = "backport"
cpp_indirect_assert = "native"
operator_str = "backport"
fx_cache_pickle = "native"
symbolic_view_meta = "native"
atomic_artifact_save = "native"
aot_runtime_env = "native"
lazy_graph_break = "backport"
pattern_matcher_dtypes = "backport"
cache_dir = "backport"
split_module_tuple_return = "native"
autotune_raw_stream = "native"
fx_node_creation = "native"
vector_isa_probe = "backport"
