"""torch 2.13."""

TORCH = (2, 13)

lazy_graph_module = "native"
realize_on_reuse = "noop"
operator_str = "native"
cache_dir = "native"  # pytorch#184208
atomic_artifact_save = "native"
aot_runtime_env = "native"
autotune_raw_stream = "native"
cpp_indirect_assert = "native"
lazy_graph_break = "backport"
pattern_matcher_dtypes = "backport"
fx_cache_pickle = "native"
