"""torch 2.14: what differs from 2.15."""

unique_fallback_key = "backport"  # pytorch#194451 came in 2.15
cleared_cache_folder = "backport"  # pytorch#196189 came in 2.15
ambient_autocast = "backport"  # pytorch#191106 came in 2.15
inference_mode_cached = "backport"  # likewise
pattern_kwargs = "backport"  # the matcher looks at these keywords from 2.15 on
