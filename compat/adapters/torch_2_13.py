"""torch 2.13: what differs from 2.14."""

view_meta_cache = "backport"  # pytorch#185861 came in 2.14
register_custom_class = "backport"  # renamed in 2.14
symbolic_multiple = "backport"  # pytorch#184566 came in 2.14
