"""Offer the shims: one file a shim, and the base that all of them are built with."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Shims are imported by name when they are first needed. Tools that freeze programs,
    # such as PyInstaller, see these lines instead. `docs/generate.py` writes them.
    from . import (  # noqa: F401
        aot_runtime_env,
        atomic_artifact_save,
        autotune_raw_stream,
        cache_dir,
        cpp_indirect_assert,
        full_of_bool,
        fx_cache_pickle,
        fx_strides,
        kept_snapshots,
        lazy_graph_break,
        lazy_graph_module,
        operator_str,
        pattern_kwargs,
        pattern_matcher_dtypes,
        realize_on_reuse,
        split_module_tuple_return,
        symbolic_view_meta,
        view_meta_cache,
    )
