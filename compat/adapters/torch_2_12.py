"""torch 2.12."""

TORCH = (2, 12)

lazy_graph_module = "native"  # pytorch#177907
operator_str = "backport"
cpp_indirect_assert = "native"
lazy_graph_break = "backport"
pattern_matcher_dtypes = "backport"
fx_cache_pickle = "native"
