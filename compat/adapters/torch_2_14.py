"""torch 2.14 and, until a newer adapter is needed, everything after it."""

TORCH = (2, 14)

lazy_graph_module = "native"
operator_str = "native"
cpp_indirect_assert = "native"
lazy_graph_break = "backport"
pattern_matcher_dtypes = "backport"
fx_cache_pickle = "native"
