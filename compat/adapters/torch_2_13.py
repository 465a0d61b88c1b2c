"""torch 2.13."""

TORCH = (2, 13)

lazy_graph_module = "native"
operator_str = "native"
cpp_indirect_assert = "native"
lazy_graph_break = "backport"
pattern_matcher_dtypes = "backport"
fx_cache_pickle = "native"
