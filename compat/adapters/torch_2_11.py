"""torch 2.11."""

TORCH = (2, 11)

lazy_graph_module = "backport"  # pytorch#177907 came in 2.12.0
realize_on_reuse = "backport"  # no release has it; vllm#42686 had it for this one
view_meta_cache = "backport"
fx_strides = "backport"
cpp_indirect_assert = "backport"
operator_str = "backport"
fx_cache_pickle = "native"
symbolic_view_meta = "native"
atomic_artifact_save = "backport"
aot_runtime_env = "backport"
lazy_graph_break = "backport"
pattern_matcher_dtypes = "backport"
cache_dir = "backport"
split_module_tuple_return = "backport"
autotune_raw_stream = "native"
fx_node_creation = "native"
vector_isa_probe = "backport"
