"""torch 2.14: what differs from 2.15."""

pattern_kwargs = "backport"  # the matcher looks at these keywords from 2.15 on
