"""Which mode a shim gets on each torch, and whether argument, environment or version decides it."""

from __future__ import annotations

import functools
import importlib
import itertools
import sys
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from helpers.shims import variant
from helpers.this_torch import ASK, RELEASE
from helpers.torch_state import lazy, made, same, split_kinds, state, status_of

import compat
from compat import selection
from compat.errors import UnsupportedError
from compat.probe.definition import Definition, Undecided
from compat.probe.requirements import Symbol
from compat.probe.source import SourceReader
from compat.selection import decide, is_loaded, live_reader, preview, requested_mode, select
from compat.shims.base import named
from compat.shims.lazy_graph_module import SHIM

OWN = "TORCH_COMPAT_LAZY_GRAPH_MODULE"
BY_AUTO = "native" if RELEASE >= (2, 12) else "backport" if RELEASE == (2, 11) else "noop"
# The result of each mode by name on this torch: "lazy" modules, or the requirement that fails.
BY_NAME = {
    "native": "lazy"
    if RELEASE >= (2, 12)
    else "torch.fx.passes.split_module:split_module refers to _make_graph_module",
    "backport": "lazy"
    if RELEASE < (2, 12)
    else "torch.fx.passes.split_module:split_module calls graph_module.GraphModule",
}

# --- The table of modes --------------------------------------------------------------------------------------------


def test_auto_is_native_from_2_12_backport_on_2_11_noop_before():
    with compat.lazy_graph_module():
        kinds = made(), split_kinds()
    assert kinds == (("plain", "plain") if BY_AUTO == "noop" else ("lazy", "lazy"))
    status = status_of()
    assert (status.name, status.kind, status.mode) == ("lazy_graph_module", "speed", BY_AUTO)
    assert torch.__version__ in status.reason
    assert all(answer.holds is not None for answer in status.evidence)
    assert (status.active, status.changes_codegen) == (False, False)


def test_live_and_source_readers_give_same_selection():
    live = decide(SHIM, "auto", "", torch.__version__, live_reader())
    text = decide(SHIM, "auto", "", torch.__version__, SourceReader.installed(torch.__path__[0]))
    assert live == text
    assert live.mode == BY_AUTO


def test_auto_avoids_backport_if_native_is_undecided():
    class Unsure:
        def find(self, target):
            if target == "torch:of_its_own":
                raise Undecided("not known")
            return Definition("function")

    unsure, other = Symbol("torch:of_its_own"), Symbol("torch:other")
    shim = variant(SHIM, native=(unsure,), backport=(other,))
    assert decide(shim, "backport", "", "2.11.0", Unsure()).mode == "backport"
    found = decide(shim, "auto", "", "2.11.0", Unsure())
    assert found.mode == "noop"
    assert "not decided from source text" in found.reason
    # Native cannot work here, however the undecided requirement comes out.
    lacking = variant(shim, native=(unsure, Symbol("torch:other", "class")))
    assert decide(lacking, "auto", "", "2.11.0", Unsure()).mode == "backport"


@pytest.mark.parametrize("mode", ["native", "backport"])
def test_mode_by_name_works_or_raises_with_failed_requirement(mode):
    if BY_NAME[mode] == "lazy":
        with compat.lazy_graph_module(mode=mode):
            assert (made(), split_kinds()) == ("lazy", "lazy")
    else:
        with pytest.raises(compat.CompatError) as caught:
            compat.lazy_graph_module(mode=mode)
        assert type(caught.value) is UnsupportedError
        assert all(said in str(caught.value) for said in (BY_NAME[mode], f"mode={mode!r}", torch.__version__))


def test_reason_says_though_only_if_auto_contradicts_version():
    shim = variant(SHIM, native=(Symbol("torch:fx"), Symbol("torch:nn")), backport=(Symbol("torch:optim"),))
    cases = [(asked, said) for asked in ("auto", "native", "backport") for said in ("2.11", "2.12")]
    told = {case: decide(shim, case[0], "the argument says so", case[1], live_reader()).reason for case in cases}
    assert [case for case, reason in told.items() if "though" in reason] == [("auto", "2.11")]
    assert [case for case, reason in told.items() if "the argument says so" in reason] == cases[2:]
    assert [case for case, reason in told.items() if "torch:nn exists" in reason] == cases[:4], "the last one decides"


@pytest.mark.parametrize(
    ("asked", "says"), [("auto", "torch 9.0 lacks it and"), ("backport", "the backport fits torch")]
)
def test_reason_names_no_unchecked_mode_as_missing(asked, says):
    shim = variant(SHIM, native=(Symbol("torch:nothing", "class"),), backport=(Symbol("torch:nn"),))
    assert decide(shim, asked, "", "9.0", live_reader()).reason.startswith(says)


def test_reason_names_only_first_missing_requirement():
    lacking = tuple(Symbol(f"torch:{name}", "class") for name in ("first", "second", "third"))
    reason = decide(variant(SHIM, native=lacking, backport=lacking), "auto", "", "9.0", live_reader()).reason
    assert "torch:first" in reason
    assert not any(name in reason for name in ("second", "third"))

    class Unsure:
        def find(self, target):
            raise Undecided(f"{target} is not known")

    reason = decide(variant(SHIM, native=lacking, backport=lacking), "auto", "", "9.0", Unsure()).reason
    assert "torch:first" in reason
    assert not any(name in reason for name in ("second", "third"))


def test_reason_explains_why_no_other_mode_applies():
    status = status_of()
    if BY_AUTO == "native":
        assert "refers to _make_graph_module" in status.reason
    else:
        assert "graph_module.GraphModule" in status.reason or "mode='backport' works here" in status.reason


# --- Precedence of argument and environment ------------------------------------------------------------------------

ANY = "*"
# TORCH_COMPAT, TORCH_COMPAT_LAZY_GRAPH_MODULE, mode= -> the requested mode, or the start of the ValueError.
# The first matching row counts.
PRECEDENCE = [
    (ANY, ANY, "lazy", "mode is 'lazy'"),
    ("backport", ANY, ANY, "TORCH_COMPAT is 'backport'"),
    ("off", ANY, ANY, "TORCH_COMPAT is 'off'"),
    (ANY, "Noop", ANY, f"{OWN} is 'Noop'"),
    ("noop", ANY, ANY, "noop"),
    (ANY, "noop", ANY, "noop"),
    (ANY, ANY, "noop", "noop"),
    (ANY, ANY, "native", "native"),
    (ANY, ANY, "backport", "backport"),
    (ANY, "native", "auto", "native"),
    (ANY, "backport", "auto", "backport"),
    (ANY, ANY, "auto", "auto"),
]
WORDS = list(
    itertools.product(
        [None, "", "auto", "noop", "off", "backport"],
        [None, "", "auto", "native", "backport", "noop", "Noop"],
        ["auto", "native", "backport", "noop", "lazy"],
    )
)


@pytest.fixture
def environment(monkeypatch):
    def put(switch: str | None, own: str | None) -> None:
        for name, word in (("TORCH_COMPAT", switch), (OWN, own)):
            if word is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, word)

    return put


def expected(*words: str | None) -> str:
    return next(row[3] for row in PRECEDENCE if all(cell in (ANY, word) for cell, word in zip(row, words)))


@pytest.mark.parametrize(("switch", "own", "mode"), WORDS)
def test_requested_mode_follows_precedence_table(environment, switch, own, mode):
    environment(switch, own)
    try:
        got, why = requested_mode(SHIM, mode)
    except ValueError as error:
        got = str(error)
    else:
        assert why
    assert got.startswith(expected(switch, own, mode))


@pytest.mark.parametrize(("switch", "own", "mode"), WORDS)
def test_context_manager_follows_precedence_table(environment, switch, own, mode):
    environment(switch, own)
    asked = expected(switch, own, mode)
    plain = {"noop": "plain", "auto": "plain" if BY_AUTO == "noop" else "lazy"}
    try:
        with compat.lazy_graph_module(mode=mode):
            got = split_kinds()
    except (ValueError, UnsupportedError) as error:
        got = str(error)
    assert plain.get(asked, BY_NAME.get(asked, asked)) in got


def test_environment_is_read_at_every_call(environment):
    for switch in ("noop", None, "noop"):
        environment(switch, None)
        with compat.lazy_graph_module(mode="auto"):
            assert split_kinds() == ("plain" if switch or BY_AUTO == "noop" else "lazy")


def test_kill_switch_leaves_torch_untouched(environment):
    environment("noop", None)
    before = state()
    compat.install("lazy_graph_module", mode="native")
    with compat.lazy_graph_module(mode="backport"):
        assert same(before, state())
    status = status_of()
    assert (status.mode, status.reason, status.active) == ("noop", "TORCH_COMPAT=noop is set", False)
    compat.uninstall("lazy_graph_module")


@pytest.mark.parametrize(
    ("switch", "own", "mode", "message"),
    [
        ("on", None, "auto", "TORCH_COMPAT is 'on'; it can be auto, noop"),
        (None, "lazy", "auto", f"{OWN} is 'lazy'; it can be auto, native, backport, noop"),
        (None, None, "AUTO", "mode is 'AUTO'; it can be auto, native, backport, noop"),
        (None, None, None, "mode is None; it can be auto, native, backport, noop"),
    ],
)
def test_invalid_mode_raises_value_error_with_allowed_words(environment, switch, own, mode, message):
    environment(switch, own)
    for use in (
        lambda: compat.lazy_graph_module(mode=mode),
        lambda: compat.install("lazy_graph_module", mode=mode),
    ):
        with pytest.raises(ValueError, match=f"^{message}$"):
            use()
    if mode == "auto":
        with pytest.raises(ValueError, match=f"^{message}$"):
            compat.status()


def test_status_reports_unavailable_environment_mode(environment):
    mode = "backport" if RELEASE >= (2, 12) else "native"
    environment(None, mode)
    status = status_of()
    assert status.mode == "noop"
    assert f"{OWN}={mode} is set" in status.reason
    assert BY_NAME[mode] in status.reason
    with pytest.raises(UnsupportedError):
        compat.lazy_graph_module()


# --- Which selections are kept -------------------------------------------------------------------------------------


@pytest.fixture
def nothing_known(monkeypatch):
    monkeypatch.setattr(selection, "_selected", {})


HOOK = "import hooks_made_up\nhooks_made_up.during()\n"


@pytest.mark.parametrize(
    ("text", "during", "after"),
    [
        (f"{HOOK}def function(): ...\n", "noop", "backport"),
        (f"def function(): ...\n{HOOK}other = 1\n", "backport", "native"),
    ],
)
def test_selection_on_partly_imported_module_is_not_kept(text, during, after, monkeypatch, nothing_known, tmp_path):
    shim = variant(
        named(["lazy_graph_break"])[0],
        native=(Symbol("half_made:other"),),
        backport=(Symbol("half_made:function", "function"),),
    )
    early = []
    hooks = SimpleNamespace(during=lambda: early.extend([is_loaded(shim), select(shim).mode]))
    monkeypatch.setitem(sys.modules, "hooks_made_up", hooks)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "half_made.py").write_text(text)
    monkeypatch.setitem(sys.modules, "half_made", None)  # so that monkeypatch removes the module at the end
    del sys.modules["half_made"]
    half = importlib.import_module("half_made")
    assert early == [False, during]
    assert (is_loaded(shim), select(shim).mode, preview(shim).mode) == (True, after, after)
    del half.function
    assert select(shim).mode == after, "a selection is kept once its modules are imported"


@pytest.mark.skipif(BY_AUTO == "noop", reason="no mode but noop is expected on this torch")
def test_noop_caused_by_foreign_patch_ends_with_that_patch(monkeypatch, nothing_known):
    torchs = lazy._get_graph_module_cls
    monkeypatch.setattr(lazy, "_get_graph_module_cls", functools.wraps(torchs)(lambda: torchs()))
    with compat.lazy_graph_module():
        assert (made(), status_of().mode) == ("plain", "noop")
    monkeypatch.setattr(lazy, "_get_graph_module_cls", torchs)
    with compat.lazy_graph_module():
        assert (made(), status_of().mode) == ("lazy", BY_AUTO)


@pytest.mark.skipif(BY_AUTO != "noop", reason="this torch is expected to have a mode")
def test_expected_noop_is_selected_once_and_kept(nothing_known):
    compat.lazy_graph_module()
    assert [each.mode for _, each in selection._selected.values()] == ["noop"]


def test_replaced_os_environ_is_read(nothing_known):
    for _ in range(2):  # neither environment may use what was read from the other one
        with mock.patch("os.environ", {"TORCH_COMPAT": "noop"}), compat.lazy_graph_module(mode=ASK):
            assert made() == "plain"
            assert status_of().reason == "TORCH_COMPAT=noop is set"
        with compat.lazy_graph_module(mode=ASK):
            assert made() == "lazy"
