"""torch 2.9."""

TORCH = (2, 9)

lazy_graph_module = "noop"
realize_on_reuse = "noop"
operator_str = "backport"
cache_dir = "backport"
atomic_artifact_save = "backport"
aot_runtime_env = "noop"
autotune_raw_stream = "backport"
cpp_indirect_assert = "backport"
lazy_graph_break = "backport"
pattern_matcher_dtypes = "backport"
fx_cache_pickle = "backport"
