"""torch 2.9."""

TORCH = (2, 9)

lazy_graph_module = "noop"
realize_on_reuse = "noop"
view_meta_cache = "backport"
fx_strides = "backport"
cpp_indirect_assert = "backport"
operator_str = "backport"
fx_cache_pickle = "backport"
symbolic_view_meta = "backport"
atomic_artifact_save = "backport"
aot_runtime_env = "noop"
lazy_graph_break = "backport"
pattern_matcher_dtypes = "backport"
cache_dir = "backport"
split_module_tuple_return = "backport"
autotune_raw_stream = "backport"
