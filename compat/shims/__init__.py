"""Offer the shims: one file a shim, and the base that all of them are built with."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

# The shims that a smaller vendored copy lacks: each with its kind, and the reason.
# `vendor` writes them into the copy.
LEFT_OUT: dict[str, tuple[str, str]] = {}

if TYPE_CHECKING:
    # Shims are imported by name when they are first needed. Tools that freeze programs,
    # such as PyInstaller, see these lines instead. `docs/generate.py` writes them.
    from . import (  # noqa: F401
        ambient_autocast,
        aot_runtime_env,
        atomic_artifact_save,
        autotune_raw_stream,
        cache_dir,
        cache_outside_dynamo,
        cleared_cache_folder,
        cpp_indirect_assert,
        float_in_cache_key,
        full_of_bool,
        fx_cache_pickle,
        fx_node_creation,
        fx_strides,
        inference_mode_cached,
        init_joint_graph_patterns,
        kept_snapshots,
        lazy_graph_break,
        lazy_graph_module,
        mark_unbacked,
        observe_cache_keys,
        operator_str,
        pattern_kwargs,
        pattern_matcher_dtypes,
        realize_on_reuse,
        register_custom_class,
        split_module_tuple_return,
        standalone_compile,
        symbolic_multiple,
        symbolic_view_meta,
        trace_files,
        unique_fallback_key,
        vector_isa_probe,
        view_meta_cache,
    )


def explain_missing(name: str, known: Iterable[str]) -> str:
    """Say why there is no shim of this name."""
    if name not in LEFT_OUT:
        return f"there is no shim {name!r}; there are {', '.join(known)}"
    return (
        f"{name} was left out of this copy of compat ({LEFT_OUT[name][1]}); "
        "to have it, vendor again with a wider --torch or with it among --shims"
    )
