"""`compat.api.register_custom_class`: under old and new names, without a warning."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from helpers.graphs import raised
from helpers.this_torch import RELEASE
from helpers.warm import Warm
from torch import library as torch_library

import compat

HOISTS = RELEASE >= (2, 11)


def classes() -> tuple[type, type]:
    base: Any = compat.api.custom_class_base()

    class Name(base):
        def __init__(self, text: str) -> None:
            self.text = text

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Name) and self.text == other.text

        def __hash__(self) -> int:
            return hash(self.text)

        def __repr__(self) -> str:
            return f"Name({self.text!r})"

        def __fx_repr__(self) -> tuple[str, dict[str, type]]:
            return repr(self), {"Name": Name}

    class Counter(base):
        def __init__(self) -> None:
            self.count = 1

    for made in (Name, Counter):
        made.__qualname__ = made.__name__  # becomes a part of operators' signatures
    return Name, Counter


def use(hoist: bool) -> dict[str, Any]:
    """Register a class of each kind, and compile an operator that takes their objects."""
    told: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    for logger in (logging.getLogger(), logging.getLogger("torch")):
        logger.addHandler(handler)
    name, counter = classes()
    compat.api.register_custom_class(name, typ="constant", hoist=hoist)
    compat.api.register_custom_class(counter, typ="symbolic")
    from torch._library.opaque_object import get_opaque_type_name

    library = torch_library.Library("compat_test", "FRAGMENT")
    types = get_opaque_type_name(name), get_opaque_type_name(counter)
    library.define("times(Tensor x, {} name, {} counter) -> Tensor".format(*types))
    library.impl("times", lambda x, name, counter: x * (len(name.text) + counter.count), "CompositeExplicitAutograd")
    torch_library.register_fake("compat_test::times", lambda x, name, counter: torch.empty_like(x), lib=library)
    one, other = name("abc"), counter()

    def program(x: torch.Tensor, counter: Any) -> Any:
        return torch.ops.compat_test.times(x, one, counter) + 1

    graphs: list[Any] = []

    def backend(gm: Any, inputs: Any) -> Any:
        graphs.append([node.op for node in gm.graph.nodes].count("placeholder"))
        return gm

    compiled = torch.compile(program, backend=backend, fullgraph=True)
    result = compiled(torch.ones(2), other).tolist()
    return {"told": told, "result": result, "inputs": graphs, "base": compat.api.custom_class_base().__name__}


@pytest.mark.skipif(RELEASE < (2, 10), reason="opaque classes came in 2.10")
def test_objects_reach_an_operator_and_nothing_warns(warm: Warm) -> None:
    got = warm(use, HOISTS)
    assert got["told"] == []
    assert got["result"] == [5.0] * 2
    # The tensor, the symbolic object, and the constant if it is hoisted.
    assert got["inputs"] == [3 if HOISTS else 2]
    assert got["base"] == ("CustomClassBase" if RELEASE >= (2, 14) else "OpaqueBase" if HOISTS else "object")


@pytest.mark.skipif(RELEASE < (2, 10), reason="opaque classes came in 2.10")
def test_option_that_this_torch_lacks_is_an_unsupported_error(monkeypatch: pytest.MonkeyPatch) -> None:
    name, _ = classes()
    if not HOISTS:
        with pytest.raises(compat.UnsupportedError, match="takes no hoist"):
            compat.api.register_custom_class(name, typ="constant", hoist=True)
    if RELEASE < (2, 12):
        with pytest.raises(compat.UnsupportedError, match="takes no reconstruct_fn"):
            compat.api.register_custom_class(name, typ="symbolic", reconstruct_fn=print)


@pytest.mark.skipif(RELEASE >= (2, 10), reason="opaque classes came in 2.10")
def test_torch_without_opaque_classes_is_an_unsupported_error() -> None:
    name, _ = classes()
    assert compat.api.custom_class_base() is object
    with pytest.raises(compat.UnsupportedError, match=r"register_custom_class: .*opaque_object cannot be imported"):
        compat.api.register_custom_class(name, typ="constant")


def test_torchs_own_complaint_is_passed_on() -> None:
    if RELEASE >= (2, 10):
        assert raised(lambda: compat.api.register_custom_class(int, typ="constant")).startswith("ValueError: Unable")


@pytest.mark.parametrize("word", ["value", "reference", "other"])
def test_unknown_word_is_refused_with_the_allowed_ones(word: Any) -> None:
    with pytest.raises(ValueError, match=f"typ is '{word}'; it can be constant, symbolic"):
        compat.api.register_custom_class(int, typ=word)
