"""torch 2.9."""

TORCH = (2, 9)

lazy_graph_module = "noop"
realize_on_reuse = "noop"
operator_str = "backport"
