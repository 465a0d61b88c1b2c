"""torch 2.10."""

TORCH = (2, 10)

lazy_graph_module = "noop"
operator_str = "backport"
cpp_indirect_assert = "backport"
lazy_graph_break = "backport"
pattern_matcher_dtypes = "backport"
fx_cache_pickle = "backport"
