"""Every operator in torch's own operator database compiles to the same bits with `realize_on_reuse` as without.

Each operator reads a sum that has several users, because the rule decides about such values."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers.this_torch import needs_compiler
from helpers.warm import Warm

import compat
from compat.selfcheck.quick import compile_quickly

BATCHES = 40  # about 16 operators in one graph: compiling each alone takes an hour


def batch(number: int) -> list[Any]:
    """Return every 40th operator whose first input is a float32 tensor, with its first sample."""
    from torch.testing._internal.common_methods_invocations import op_db

    found = []
    for op in sorted(op_db, key=lambda op: op.full_name)[number::BATCHES]:
        # Operators such as `empty` return unwritten memory, which differs between runs.
        if torch.float32 in op.supported_dtypes("cpu") and "empty" not in op.full_name:
            sample = next(iter(op.sample_inputs("cpu", torch.float32)), None)
            if sample and isinstance(sample.input, torch.Tensor):
                found.append((op, sample))
    return found


def reused(op: Any, sample: Any) -> Callable[[torch.Tensor], Any]:
    def function(zero: torch.Tensor) -> Any:
        total = sample.input + zero
        return op(total, *sample.args, **sample.kwargs), total.sum(), total * total

    return function


def outcomes(number: int, active: bool) -> dict[str, list[bytes] | str]:
    """Return the result bits or the error of each operator of a batch."""
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
    warnings.simplefilter("ignore")
    torch.set_grad_enabled(False)
    if active:
        compat.install("realize_on_reuse", mode="backport")
    given = {op.full_name: reused(op, sample) for op, sample in batch(number)}
    with tempfile.TemporaryDirectory() as folder, compile_quickly():
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        together = run(lambda zero: [function(zero) for function in given.values()])
        if not isinstance(together, str):
            return {name: bits(found) for name, found in zip(given, together)}
        alone = {name: run(function) for name, function in given.items()}
        return {name: found if isinstance(found, str) else bits(found) for name, found in alone.items()}


def run(function: Callable[[torch.Tensor], Any]) -> Any:
    torch._dynamo.reset()
    torch.manual_seed(0)
    try:
        return torch.compile(function, dynamic=False)(torch.zeros(()))
    except Exception as error:  # noqa: BLE001 (some operators cannot be compiled; the error is their outcome)
        return type(error).__name__


def bits(found: Any) -> list[bytes]:
    leaves = [leaf for leaf in torch.utils._pytree.tree_leaves(found) if isinstance(leaf, torch.Tensor)]
    dense = [leaf if leaf.layout == torch.strided else leaf.to_dense() for leaf in leaves]
    flat = [leaf.resolve_conj().resolve_neg().reshape(-1).contiguous() for leaf in dense]
    return [leaf.view(torch.uint8).numpy().tobytes() for leaf in flat]


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("number", range(BATCHES))
def test_operator_compiles_to_same_bits_with_shim(number: int, warm: Warm) -> None:
    without, with_it = warm(outcomes, number, False), warm(outcomes, number, True)
    assert without
    assert with_it == without
