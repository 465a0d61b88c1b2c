"""torch 2.11."""

TORCH = (2, 11)

lazy_graph_module = "backport"  # pytorch#177907 came in 2.12.0
operator_str = "backport"
view_meta_cache = "backport"
symbolic_view_meta = "native"
fx_strides = "backport"
split_module_tuple_return = "backport"
