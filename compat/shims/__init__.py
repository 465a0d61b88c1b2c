"""Offer the shims: one file a shim, and the base that all of them are built with."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Shims are imported by name when they are first needed. Tools that freeze programs,
    # such as PyInstaller, see these lines instead. `docs/generate.py` writes them.
    from . import (  # noqa: F401
        ambient_autocast,
        aot_runtime_env,
        atomic_artifact_save,
        autotune_raw_stream,
        cache_dir,
        cleared_cache_folder,
        cpp_indirect_assert,
        float_in_cache_key,
        fx_cache_pickle,
        fx_node_creation,
        fx_strides,
        inference_mode_cached,
        lazy_graph_break,
        lazy_graph_module,
        operator_str,
        pattern_matcher_dtypes,
        realize_on_reuse,
        split_module_tuple_return,
        symbolic_view_meta,
        unique_fallback_key,
        vector_isa_probe,
        view_meta_cache,
    )
