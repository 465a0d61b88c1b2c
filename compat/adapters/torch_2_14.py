"""torch 2.14 and, until a newer adapter is needed, everything after it."""

TORCH = (2, 14)

lazy_graph_module = "native"
operator_str = "native"
view_meta_cache = "native"
symbolic_view_meta = "native"
fx_strides = "native"
split_module_tuple_return = "native"
