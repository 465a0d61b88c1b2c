"""Torches that no other adapter speaks for (older than 2.9): under `auto`, only what torch has itself is used."""

lazy_graph_module = "noop"
operator_str = "noop"
view_meta_cache = "noop"
symbolic_view_meta = "noop"
fx_strides = "noop"
split_module_tuple_return = "noop"
