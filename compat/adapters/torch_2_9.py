"""torch 2.9: what differs from 2.10."""

aot_runtime_env = "noop"  # saves no globals of such a function: nothing to fix
autotune_raw_stream = "backport"  # the definition comes first from 2.10 on
unique_fallback_key = "noop"  # draws no number
register_custom_class = "noop"  # opaque classes came in 2.10
