"""torch 2.12: what differs from 2.13."""

fx_strides = "backport"  # looks into lists from 2.13 on
operator_str = "backport"  # pytorch#185951 came in 2.13
cache_dir = "backport"  # pytorch#184208 came in 2.13
fx_node_creation = "native"  # pytorch#186665 came in 2.13
inference_mode_cached = "native"  # Dynamo's list still has it
standalone_compile = "backport"  # the parameter came in 2.13
