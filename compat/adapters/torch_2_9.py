"""torch 2.9."""

TORCH = (2, 9)

lazy_graph_module = "noop"
operator_str = "backport"
view_meta_cache = "backport"
symbolic_view_meta = "backport"
fx_strides = "backport"
split_module_tuple_return = "backport"
