"""torch 2.10: what differs from 2.11."""

lazy_graph_module = "noop"  # the backport works, but no engine has used it here
realize_on_reuse = "noop"  # likewise
fx_cache_pickle = "backport"  # pytorch#176557 came in 2.11
symbolic_view_meta = "backport"  # pytorch#174334 came in 2.11
init_joint_graph_patterns = "backport"  # `input_device` came in 2.11
