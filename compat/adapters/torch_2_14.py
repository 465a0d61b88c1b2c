"""torch 2.14 and, until a newer adapter is needed, everything after it."""

TORCH = (2, 14)

lazy_graph_module = "native"
realize_on_reuse = "noop"
operator_str = "native"
