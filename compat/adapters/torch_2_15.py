"""torch 2.15, and newer ones until they have their own: every shim with its mode."""

lazy_graph_module = "native"
realize_on_reuse = "noop"  # pytorch#176994 was backed out before 2.12; by name
view_meta_cache = "native"
fx_strides = "native"
cpp_indirect_assert = "native"
operator_str = "native"
fx_cache_pickle = "native"
symbolic_view_meta = "native"
atomic_artifact_save = "native"
aot_runtime_env = "native"
lazy_graph_break = "backport"  # pytorch#154282 is open
pattern_matcher_dtypes = "backport"  # pytorch#196013 is not merged
cache_dir = "native"
split_module_tuple_return = "native"
autotune_raw_stream = "native"
float_in_cache_key = "backport"  # pytorch#197889 is open
unique_fallback_key = "native"
cleared_cache_folder = "native"
ambient_autocast = "native"
inference_mode_cached = "native"
fx_node_creation = "backport"  # pytorch#186665 added the walk
vector_isa_probe = "backport"  # torch keeps the answers in the cache folder
full_of_bool = "backport"  # pytorch#194062 is open
pattern_kwargs = "native"
kept_snapshots = "backport"  # pytorch#198031 is open
