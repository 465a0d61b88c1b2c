"""Torches that no other adapter speaks for (older than 2.9): under `auto`, only what torch has itself is used."""

lazy_graph_module = "noop"
realize_on_reuse = "noop"
operator_str = "noop"
cache_dir = "noop"
atomic_artifact_save = "noop"
aot_runtime_env = "noop"
autotune_raw_stream = "noop"
