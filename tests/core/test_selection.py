"""Which mode a shim gets: on the torches that there are, and by whose word."""

from __future__ import annotations

import functools
import importlib
import itertools
import sys
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from helpers.this_torch import ASK, RELEASE
from helpers.torch_state import lazy, made, same, split_kinds, state, status_of

import compat
from compat import selection
from compat.errors import UnsupportedError
from compat.probe import Live
from compat.requirements import Found, Symbol, Undecided
from compat.selection import asked_for, decide, loaded, preview, select
from compat.shims import named
from compat.shims.lazy_graph_module import SHIM
from compat.source import Source

OWN = "TORCH_COMPAT_LAZY_GRAPH_MODULE"
BY_AUTO = "native" if RELEASE >= (2, 12) else "backport" if RELEASE == (2, 11) else "noop"
# What a mode asked for by name gets on this torch: "lazy" modules, or the requirement that is not met.
BY_NAME = {
    "native": "lazy"
    if RELEASE >= (2, 12)
    else "torch.fx.passes.split_module:split_module refers to _make_graph_module",
    "backport": "lazy"
    if RELEASE < (2, 12)
    else "torch.fx.passes.split_module:split_module calls graph_module.GraphModule",
}

# --- The table of modes --------------------------------------------------------------------------------------------


def test_auto_is_native_from_2_12_on_the_backport_on_2_11_and_nothing_before():
    with compat.lazy_graph_module():
        kinds = made(), split_kinds()
    assert kinds == (("plain", "plain") if BY_AUTO == "noop" else ("lazy", "lazy"))
    status = status_of()
    assert (status.name, status.kind, status.mode) == ("lazy_graph_module", "speed", BY_AUTO)
    assert torch.__version__ in status.reason
    assert all(answer.holds is not None for answer in status.evidence)
    assert (status.active, status.changes_codegen) == (False, False)


def test_both_readers_of_torch_lead_to_the_same_selection():
    live = decide(SHIM, "auto", "", torch.__version__, Live())
    text = decide(SHIM, "auto", "", torch.__version__, Source.installed(torch.__path__[0]))
    assert live == text
    assert live.mode == BY_AUTO


def test_the_backport_is_not_chosen_where_torch_may_have_it_itself():
    class Unsure:
        def find(self, target):
            if target == "torch:of_its_own":
                raise Undecided("who knows")
            return Found("function")

    unsure, other = Symbol("torch:of_its_own"), Symbol("torch:other")
    shim = SHIM._replace(native=(unsure,), backport=(other,))
    assert decide(shim, "backport", "", "2.11.0", Unsure()).mode == "backport"
    found = decide(shim, "auto", "", "2.11.0", Unsure())
    assert found.mode == "noop"
    assert "not decided from source text" in found.reason
    # It cannot, whatever the one that is not decided may turn out to be.
    lacking = shim._replace(native=(unsure, Symbol("torch:other", "class")))
    assert decide(lacking, "auto", "", "2.11.0", Unsure()).mode == "backport"


@pytest.mark.parametrize("mode", ["native", "backport"])
def test_a_mode_asked_for_by_name_is_had_or_refused_with_the_requirement(mode):
    if BY_NAME[mode] == "lazy":
        with compat.lazy_graph_module(mode=mode):
            assert (made(), split_kinds()) == ("lazy", "lazy")
    else:
        with pytest.raises(compat.CompatError) as caught:
            compat.lazy_graph_module(mode=mode)
        assert type(caught.value) is UnsupportedError
        assert all(said in str(caught.value) for said in (BY_NAME[mode], f"mode={mode!r}", torch.__version__))


def test_a_mode_is_a_surprise_only_where_nobody_asked_for_it_and_the_version_has_another():
    shim = SHIM._replace(native=(Symbol("torch:fx"), Symbol("torch:nn")), backport=(Symbol("torch:optim"),))
    cases = [(asked, said) for asked in ("auto", "native", "backport") for said in ("2.11", "2.12")]
    told = {case: decide(shim, case[0], "somebody wants it", case[1], Live()).reason for case in cases}
    assert [case for case, reason in told.items() if "though" in reason] == [("auto", "2.11")]
    assert [case for case, reason in told.items() if "somebody wants it" in reason] == cases[2:]
    assert [case for case, reason in told.items() if "torch:nn exists" in reason] == cases[:4], "the last one decides"


@pytest.mark.parametrize(
    ("asked", "says"), [("auto", "torch 9.0 lacks it and"), ("backport", "the backport fits torch")]
)
def test_what_was_not_looked_for_is_not_said_to_be_lacking(asked, says):
    shim = SHIM._replace(native=(Symbol("torch:nothing", "class"),), backport=(Symbol("torch:nn"),))
    assert decide(shim, asked, "", "9.0", Live()).reason.startswith(says)


def test_of_all_that_is_lacking_the_first_is_told():
    lacking = tuple(Symbol(f"torch:{name}", "class") for name in ("first", "second", "third"))
    reason = decide(SHIM._replace(native=lacking, backport=lacking), "auto", "", "9.0", Live()).reason
    assert "torch:first" in reason
    assert not any(name in reason for name in ("second", "third"))

    class Unsure:
        def find(self, target):
            raise Undecided(f"who knows about {target}")

    reason = decide(SHIM._replace(native=lacking, backport=lacking), "auto", "", "9.0", Unsure()).reason
    assert "torch:first" in reason
    assert not any(name in reason for name in ("second", "third"))


def test_the_reason_says_why_it_is_no_other_mode():
    status = status_of()
    if BY_AUTO == "native":
        assert "refers to _make_graph_module" in status.reason
    else:
        assert "graph_module.GraphModule" in status.reason or "mode='backport' works here" in status.reason


# --- Whose word counts ---------------------------------------------------------------------------------------------

ANY = "*"
# TORCH_COMPAT, TORCH_COMPAT_LAZY_GRAPH_MODULE, mode= -> the mode that is asked for, or the name that a ValueError has.
# The first row that fits counts.
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
def test_who_has_the_word(environment, switch, own, mode):
    environment(switch, own)
    try:
        got, why = asked_for(SHIM, mode)
    except ValueError as error:
        got = str(error)
    else:
        assert why
    assert got.startswith(expected(switch, own, mode))


@pytest.mark.parametrize(("switch", "own", "mode"), WORDS)
def test_the_context_manager_does_as_it_is_told(environment, switch, own, mode):
    environment(switch, own)
    asked = expected(switch, own, mode)
    plain = {"noop": "plain", "auto": "plain" if BY_AUTO == "noop" else "lazy"}
    try:
        with compat.lazy_graph_module(mode=mode):
            got = split_kinds()
    except (ValueError, UnsupportedError) as error:
        got = str(error)
    assert plain.get(asked, BY_NAME.get(asked, asked)) in got


def test_the_environment_is_read_at_every_call(environment):
    for switch in ("noop", None, "noop"):
        environment(switch, None)
        with compat.lazy_graph_module(mode="auto"):
            assert split_kinds() == ("plain" if switch or BY_AUTO == "noop" else "lazy")


def test_the_kill_switch_leaves_torch_untouched(environment):
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
def test_a_wrong_word_is_a_value_error_that_lists_the_allowed_ones(environment, switch, own, mode, message):
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


def test_status_tells_of_a_mode_in_the_environment_that_cannot_be_had(environment):
    mode = "backport" if RELEASE >= (2, 12) else "native"
    environment(None, mode)
    status = status_of()
    assert status.mode == "noop"
    assert f"{OWN}={mode} is set" in status.reason
    assert BY_NAME[mode] in status.reason
    with pytest.raises(UnsupportedError):
        compat.lazy_graph_module()


# --- What is kept, and what is not ---------------------------------------------------------------------------------


@pytest.fixture
def nothing_known(monkeypatch):
    monkeypatch.setattr(selection, "_selected", {})


def test_a_module_that_is_half_imported_decides_nothing_for_later(monkeypatch, nothing_known, tmp_path):
    shim = named(["lazy_graph_break"])[0]._replace(
        native=(Symbol("half_made:other"),), backport=(Symbol("half_made:function", "function"),)
    )
    early = []
    hooks = SimpleNamespace(during=lambda: early.extend([loaded(shim), select(shim).mode, preview(shim).mode]))
    monkeypatch.setitem(sys.modules, "hooks_made_up", hooks)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "half_made.py").write_text("import hooks_made_up\nhooks_made_up.during()\ndef function(): ...\n")
    half = importlib.import_module("half_made")
    monkeypatch.delitem(sys.modules, "half_made")  # at the end it is as it was: not there
    monkeypatch.setitem(sys.modules, "half_made", half)
    assert early == [False, "noop", "noop"]
    assert (loaded(shim), select(shim).mode, preview(shim).mode) == (True, "backport", "backport")
    del half.function
    assert select(shim).mode == "backport", "it was found once, and is not looked for each time"


@pytest.mark.skipif(BY_AUTO == "noop", reason="there it is not expected")
def test_what_somebody_puts_over_torch_when_it_is_first_looked_at_is_not_held_against_it(monkeypatch, nothing_known):
    torchs = lazy._get_graph_module_cls
    monkeypatch.setattr(lazy, "_get_graph_module_cls", functools.wraps(torchs)(lambda: torchs()))
    with compat.lazy_graph_module():
        assert (made(), status_of().mode) == ("plain", "noop")
    monkeypatch.setattr(lazy, "_get_graph_module_cls", torchs)
    with compat.lazy_graph_module():
        assert (made(), status_of().mode) == ("lazy", BY_AUTO)


@pytest.mark.skipif(BY_AUTO != "noop", reason="there it is expected")
def test_what_no_torch_of_this_number_has_is_not_looked_for_each_time(nothing_known):
    compat.lazy_graph_module()
    assert [each.mode for each in selection._selected.values()] == ["noop"]


def test_a_word_is_seen_also_where_somebody_has_replaced_the_environment(nothing_known):
    for _ in range(2):  # what was known before does not count there, nor what was found there afterwards
        with mock.patch("os.environ", {"TORCH_COMPAT": "noop"}), compat.lazy_graph_module(mode=ASK):
            assert made() == "plain"
            assert status_of().reason == "TORCH_COMPAT=noop is set"
        with compat.lazy_graph_module(mode=ASK):
            assert made() == "lazy"
