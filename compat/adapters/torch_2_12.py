"""torch 2.12."""

TORCH = (2, 12)

lazy_graph_module = "native"  # pytorch#177907
operator_str = "backport"
cache_dir = "backport"
atomic_artifact_save = "native"
aot_runtime_env = "native"
autotune_raw_stream = "native"
