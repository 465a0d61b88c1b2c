"""torch 2.10."""

TORCH = (2, 10)

lazy_graph_module = "noop"
realize_on_reuse = "noop"
operator_str = "backport"
cache_dir = "backport"
atomic_artifact_save = "backport"
aot_runtime_env = "backport"
autotune_raw_stream = "native"
cpp_indirect_assert = "backport"
lazy_graph_break = "backport"
pattern_matcher_dtypes = "backport"
fx_cache_pickle = "backport"
