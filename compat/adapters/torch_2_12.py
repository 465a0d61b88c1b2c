"""torch 2.12."""

TORCH = (2, 12)

lazy_graph_module = "native"  # pytorch#177907
realize_on_reuse = "noop"  # pytorch#176994 was backed out
operator_str = "backport"
cache_dir = "backport"
atomic_artifact_save = "native"
aot_runtime_env = "native"
autotune_raw_stream = "native"
cpp_indirect_assert = "native"
lazy_graph_break = "backport"
pattern_matcher_dtypes = "backport"
fx_cache_pickle = "native"
