"""torch 2.14: what differs from 2.15."""

unique_fallback_key = "backport"  # pytorch#194451 came in 2.15
