"""Torches that no other adapter speaks for (older than 2.9): under `auto`, only what torch has itself is used."""

lazy_graph_module = "noop"
operator_str = "noop"
cpp_indirect_assert = "noop"
lazy_graph_break = "noop"
pattern_matcher_dtypes = "noop"
fx_cache_pickle = "noop"
