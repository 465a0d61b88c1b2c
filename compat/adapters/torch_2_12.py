"""torch 2.12 and, until a newer adapter is needed, everything after it."""

TORCH = (2, 12)

lazy_graph_module = "native"  # pytorch#177907
