"""torch 2.11."""

TORCH = (2, 11)

lazy_graph_module = "backport"  # pytorch#177907 came in 2.12.0
realize_on_reuse = "backport"  # no release has it; vllm#42686 had it for this one
operator_str = "backport"
cache_dir = "backport"
atomic_artifact_save = "backport"
aot_runtime_env = "backport"
autotune_raw_stream = "native"
cpp_indirect_assert = "backport"
lazy_graph_break = "backport"
pattern_matcher_dtypes = "backport"
fx_cache_pickle = "native"
