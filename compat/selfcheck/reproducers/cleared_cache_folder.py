"""A cache folder that goes away in the middle of a lookup, and of a write."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from unittest import mock

import torch

from ..quick import compile_quickly

FIXED = (2, 15)


def _is_in(path: object, *folders: str) -> bool:
    return bool(set(folders) & set(Path(str(path)).parts))


def _compiled(number: int) -> str | None:
    torch._dynamo.reset()
    try:
        result = torch.compile(lambda x: x @ x * number, fullgraph=True)(torch.eye(2))
    except Exception as error:
        if "No such file or directory" not in str(error):
            raise
        return "lookup" if number == 2 else "write"
    assert result.tolist() == [[float(number), 0.0], [0.0, float(number)]]
    return None


def outcome() -> str:
    from torch._functorch import config as functorch

    exists, rename = os.path.exists, Path.rename
    removed: list[object] = []

    def racing_exists(path: str) -> bool:
        there = exists(path)
        if there and _is_in(path, "fxgraph", "aotautograd"):
            shutil.rmtree(path)
            removed.append(path)
        return there

    def racing_rename(path: Path, target: Path) -> Path:
        if not removed and _is_in(path, "aotautograd"):
            removed.append(path)
            shutil.rmtree(path.parent)
        return rename(path, target)

    strict = functorch.patch(strict_autograd_cache=True)
    with compile_quickly(call_operators=True), strict:
        assert _compiled(2) is None
        with mock.patch.object(os.path, "exists", racing_exists):
            ended = [_compiled(2)]
        assert removed or ended == [None]
        removed.clear()
        with mock.patch.object(Path, "rename", racing_rename):
            ended.append(_compiled(3))
        assert removed
    words = " and ".join(filter(None, ended))
    return f"the compile ends in a {words}" if words else "right"
