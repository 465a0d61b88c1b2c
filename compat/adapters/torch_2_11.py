"""torch 2.11."""

TORCH = (2, 11)

lazy_graph_module = "backport"  # pytorch#177907 came in 2.12.0
operator_str = "backport"
cpp_indirect_assert = "backport"
lazy_graph_break = "backport"
pattern_matcher_dtypes = "backport"
fx_cache_pickle = "native"
