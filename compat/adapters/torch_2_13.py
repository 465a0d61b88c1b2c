"""torch 2.13."""

TORCH = (2, 13)

lazy_graph_module = "native"
realize_on_reuse = "noop"
operator_str = "native"
