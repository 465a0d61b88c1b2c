"""torch 2.12."""

TORCH = (2, 12)

lazy_graph_module = "native"  # pytorch#177907
operator_str = "backport"
view_meta_cache = "backport"
symbolic_view_meta = "native"
fx_strides = "backport"
split_module_tuple_return = "native"
