"""torch 2.13."""

TORCH = (2, 13)

lazy_graph_module = "native"
operator_str = "native"
view_meta_cache = "backport"
symbolic_view_meta = "native"
fx_strides = "native"
split_module_tuple_return = "native"
