"""torch 2.10."""

TORCH = (2, 10)

lazy_graph_module = "noop"
operator_str = "backport"
view_meta_cache = "backport"
symbolic_view_meta = "backport"
fx_strides = "backport"
split_module_tuple_return = "backport"
