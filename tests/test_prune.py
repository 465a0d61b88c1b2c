"""`prune`: what a range of torches makes superfluous, in compat and in an engine's source."""

import ast
import json
import operator
import os
import re
from pathlib import Path

import pytest
from helpers.shims import variant
from helpers.this_torch import same_on_every_torch
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging import version as packaging_version

from compat import version
from compat.__main__ import main
from compat.adapters import NEWEST_FIRST, minor_of
from compat.tools import prune
from compat.tools.gates import search
from compat.tools.ranges import torch_range
from compat.tools.supposed import TorchVersion
from compat.tools.unused import unused

VLLM = "COMPAT_TEST_VLLM"  # a folder that holds vLLM 0.33.0's `vllm`
IMPORTS = """
import importlib.metadata
import torch
from importlib.metadata import version as dist
from packaging import version
from packaging.version import Version, parse
from packaging.version import parse as V
from elsewhere import is_torch_equal, is_torch_equal_or_newer, is_torch_version, torch_version_at_least
from elsewhere import TORCH_VERSION_AT_LEAST_2_8, is_torch_greater_or_equal_than_2_17, envs
"""


def gates(tmp_path, source, spec="==2.14.0", imports=IMPORTS):
    path = tmp_path / "engine.py"
    path.write_text(imports + source, "utf-8")
    (file,), sentences = search([str(path)], torch_range(spec))
    assert not sentences
    return [(gate.text, gate.outcome if gate.understood else "?") for gate in file.gates]


# Each form of gate, with its outcome for 2.14.0.
FORMS = {
    "is_torch_equal('2.9.0')": False,
    "is_torch_equal('2.14.0')": True,
    "not is_torch_equal_or_newer('2.16.0.dev')": True,
    "is_torch_version('>=', '2.1')": True,
    "is_torch_version('<', '2.1')": False,
    "torch_version_at_least('2.8.0')": True,
    "TORCH_VERSION_AT_LEAST_2_8": True,
    "is_torch_greater_or_equal_than_2_17": False,
    "is_torch_greater_or_equal_than_2_17()": False,
    "torch.__version__ >= '2.9'": True,
    "torch.__version__ >= (2, 9)": True,
    "'2.20' <= torch.__version__": False,
    "torch.__version__.startswith('2.14')": True,
    "torch.version.__version__ == '2.9.0'": False,
    "str(torch.__version__) < '2.2'": True,  # as a string it is
    "version.parse(torch.__version__) < version.parse('2.8.0.a0')": False,
    "Version('2.10') <= Version(torch.__version__) < Version('2.12')": False,
    "V(torch.__version__).release >= (2, 10)": True,
    "parse(torch.__version__.split('+')[0]) == parse('2.14.0')": True,
    "parse(parse(torch.__version__).base_version) >= parse('2.14.0')": True,
    "Version(torch.__version__).major == 1": False,
    "(parse(torch.__version__).major, parse(torch.__version__).minor) >= (2, 9)": True,
    "tuple(int(x) for x in torch.__version__.split('.')[:2]) >= (2, 9)": True,
    "tuple(map(int, torch.__version__.split('.')[:2])) == (2, 14)": True,
    "[int(x) for x in torch.__version__.split('.')[:2]] < [2, 9]": False,
    "parse(importlib.metadata.version('torch')) >= parse('2.9')": True,
    "Version(dist('torch')) >= Version('2.9')": True,
    "is_torch_equal_or_newer('2.6') or envs.X": True,
    "envs.X and is_torch_equal('2.6.0')": False,
}
NO_GATES = [
    "Version(dist('triton')) >= Version('3.0')",
    "Version('2.9') < Version('2.10')",
    "torch.cuda.is_available()",
    "hasattr(torch, 'float8')",
    "torch.version.cuda >= '12'",
    "f'{torch.__version__}'",
    "x.__version__ >= '2.0'",
    "is_torch",
    "TORCH_VERSION",
    "True",
]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_gate_is_found_with_its_outcome(tmp_path, form):
    assert gates(tmp_path, f"if {form}:\n    pass\n") == [(ast.unparse(ast.parse(form)), FORMS[form])]


@pytest.mark.parametrize("form", NO_GATES)
def test_what_is_no_gate_is_not_listed(tmp_path, form):
    assert gates(tmp_path, f"if {form}:\n    pass\n") == []


def test_a_name_that_holds_an_outcome_is_a_gate_where_it_is_used(tmp_path):
    source = """
TORCH = Version(torch.__version__)
HAS = TORCH >= Version("2.9")
def f(x):
    local = not HAS
    return 1 if local and x else 2
"""
    assert gates(tmp_path, source) == [
        ("TORCH >= Version('2.9')", True), ("not HAS", False), ("local and x", False)
    ]  # fmt: skip


@pytest.mark.parametrize("source", [
    "if TYPE_CHECKING:\n    HAS: bool = TRUE\ndef __getattr__(name): ...\nf(HAS)\n",
    "HAS = TRUE\nHAS = g()\nf(HAS)\n",
    "HAS = TRUE\ndef h():\n    global HAS\n    HAS = g()\nf(HAS)\n",
    "HAS = TRUE\ndef h(HAS):\n    f(HAS)\n",
    "HAS = TRUE\nfor HAS in g(): f(HAS)\n",
    "HAS = TRUE\nf(lambda HAS: HAS)\n",
    "try:\n    HAS = TRUE\nexcept E:\n    HAS = False\nf(HAS)\n",
    "HAS = TRUE\nwith g() as HAS: f(HAS)\n",
    "class A:\n    HAS = TRUE\n    def m(self): return HAS\n",
    "def torch(): ...\nf(torch.__version__ > '1')\n",
])  # fmt: skip
def test_a_name_that_may_hold_something_else_is_not_known(tmp_path, source):
    found = gates(tmp_path, source.replace("TRUE", "is_torch_equal_or_newer('2.6')"))
    assert [text for text, _ in found if "HAS" in text or "__version__" in text] == []


def test_names_and_helpers_are_followed_into_the_modules_of_the_engine(tmp_path):
    engine = tmp_path / "engine"
    files = {
        "__init__.py": "",
        "utils/__init__.py": "from .torches import NEW, at_least\n",
        "utils/torches.py": IMPORTS + "NEW = parse(torch.__version__) >= parse('2.9')\n"
        "@lru_cache\ndef at_least(target):\n    '''Or newer.'''\n    return V(torch.__version__) >= V(target)\n"
        "def old(): return not NEW\n",
        "a.py": "from engine.utils import NEW, at_least\nfrom .utils.torches import old as is_old\n"
        "from .utils import torches\nf(NEW, at_least('2.20'), is_old(), torches.NEW, at_least(x))\n",
    }
    for name, text in files.items():
        (engine / name).parent.mkdir(parents=True, exist_ok=True)
        (engine / name).write_text(text)
    (file,), _ = search([str(engine / "a.py")], torch_range("==2.14.0"))
    assert [(gate.text, gate.outcome) for gate in file.gates] == [
        ("NEW", True), ("at_least('2.20')", False), ("is_old()", False), ("torches.NEW", True)
    ]  # fmt: skip


@pytest.mark.parametrize(("spec", "form", "outcome"), [
    (">=2.12", "is_torch_equal_or_newer('2.12.0.dev')", True),
    (">=2.12", "is_torch_equal_or_newer('2.12.1')", None),
    (">=2.12,<2.16", "is_torch_equal_or_newer('2.16')", False),
    (">=2.12,<2.16", "is_torch_equal_or_newer('2.15.0')", None),
    (">=2.12", "parse(torch.__version__) < parse('2.31.7')", None),
    ("==2.14.0", "Version(torch.__version__) == Version('2.14.0')", None),  # not for 2.14.0+cu130
    ("==2.14.*", "Version(torch.__version__) >= Version('2.14')", None),  # not for 2.14.0.dev
    (">=2.9", "is_torch_equal('2.9.1')", None),
    ("==2.12.dev20260301", "is_torch_equal_or_newer('2.11')", True),
    (">=2.12.0.dev0", "parse(torch.__version__) == parse('2.12.dev20260301')", None),
    (">=2.9", "Version(torch.__version__).release <= (2, 9)", False),
    (">=2.0,<3", "Version(torch.__version__).release > (2, int('0') and int('2'))", True),
    (">=2.12.0.dev0,<2.12.0rc9", "is_torch_equal_or_newer('2.12.0')", "?"),  # some such helpers drop the `.dev0`
    ("==2.14.0", "is_torch_equal_or_newer(MINIMUM)", "?"),
    ("==2.14.0", "parse(torch.__version__) >= parse(MINIMUM)", "?"),
])  # fmt: skip
def test_only_one_outcome_on_the_whole_range_is_an_outcome(tmp_path, spec, form, outcome):
    found = gates(tmp_path, f"if {form}:\n    pass\n", spec)
    assert found == [(ast.unparse(ast.parse(form)), outcome)]


SIGNS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq}
NUMBERS = [f"2.{minor}{micro}" for minor in range(8, 17) for micro in ("", ".0", ".1", ".0.dev", ".0a0", ".0rc1")]
LEAVES = st.one_of(
    st.builds(
        "Version(torch.__version__) {} Version('{}')".format, st.sampled_from(list(SIGNS)), st.sampled_from(NUMBERS)
    ),
    st.builds("torch.__version__ {} '{}'".format, st.sampled_from(list(SIGNS)), st.sampled_from(NUMBERS)),
    st.builds("Version(torch.__version__).release {} (2, {})".format, st.sampled_from(list(SIGNS)), st.integers(8, 16)),
    st.just("flag"),
)
GATES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds("(not {})".format, inner),
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
    ),
    max_leaves=4,
)
FORMS_OF_TORCH = (".dev", ".dev20260101", "a0", "a0+git1", "rc1", "rc2", "", "+cpu")
WORLD = [f"2.{minor}.{micro}{form}" for minor in range(7, 18) for micro in range(2) for form in FORMS_OF_TORCH]


@same_on_every_torch
@settings(deadline=None, max_examples=150)
@given(GATES, st.sampled_from([">=2.9,<2.12", ">=2.12", "==2.14.0", "==2.11.*", ">=2.10.0.dev0,!=2.12.0", "<2.13"]))
def test_an_outcome_is_the_one_that_python_gives_on_every_torch_of_the_range(tmp_path_factory, text, spec):
    """And what has one outcome there is found as a whole."""
    torches = torch_range(spec)
    found = gates(tmp_path_factory.mktemp("engine"), f"f({text})\n", spec)
    names = {"Version": packaging_version.Version}
    runs = [
        {**names, "torch": type("torch", (), {"__version__": TorchVersion(torch)}), "flag": flag}
        for torch in WORLD
        for flag in (True, False)
        if torch in torches
    ]
    for gate, outcome in found:
        assert outcome is None or {eval(gate, run) for run in runs} == {outcome}
    whole = {eval(text, run) for run in runs}
    if len(whole) == 1 and "flag" not in text:
        assert [outcome for _, outcome in found] == [whole.pop()]


@pytest.mark.skipif(version.folder() is None, reason="torch is not installed")
def test_a_supposed_version_compares_as_torchs_own():
    from torch.torch_version import TorchVersion as Own

    for given_version in ("2.11.0+cu130", "2.9.1", "2.12.0a0+x", "parrot"):
        for other in ("2.9", "2.11.0", "2.2", (2, 9), [2, 11, 0], packaging_version.Version("2.10"), "parrot"):
            for compare in (*SIGNS.values(), operator.ne):
                ours, theirs = (
                    _outcome(compare, kind(given_version), other) for kind in (TorchVersion, Own)
                )  # fmt: skip
                assert ours == theirs, (compare, given_version, other)


def _outcome(compare, left, right):
    try:
        return compare(left, right)
    except Exception as error:  # noqa: BLE001
        return type(error)


DEAD = """
if is_torch_equal("2.9.0"):
    a()
if is_torch_equal_or_newer("2.9"):
    b()
else:
    c()
    c()
def f():
    if is_torch_equal_or_newer("2.9"):
        return
    d()
    d()
def g():
    if not is_torch_equal_or_newer("2.9"):
        d()
    elif x:
        e()
    else:
        return
    d()
"""


def test_the_dead_lines_are_the_branch_that_is_never_taken_and_what_follows_one_that_always_leaves(tmp_path):
    path = tmp_path / "engine.py"
    path.write_text("from x import is_torch_equal, is_torch_equal_or_newer" + DEAD)
    (file,), _ = search([str(path)], torch_range("==2.14.0"))
    assert [gate.dead for gate in file.gates] == [((2, 3),), ((7, 8),), ((12, 13),), ((16, 16),)]


def test_definitions_that_only_dead_lines_use_are_found_through_one_another(tmp_path):
    source = """\
def only(): return helper()
def helper(): return CONSTANT
CONSTANT = 1
def shared(): ...
def exported(): ...
__all__ = ["exported"]
def idle(): ...
@register
def registered(): ...
if False:
    only(), shared(), exported(), registered()
shared()
"""
    path = tmp_path / "engine.py"
    left = unused({path: ast.parse(source)}, {path: ((10, 11),)})
    assert [(one.name, one.first) for one in left] == [("only", 1), ("helper", 2), ("CONSTANT", 3)]


def test_what_a_package_offers_is_used(tmp_path):
    sources = {"a.py": "def helper(): ...\nhelper()", "b.py": "from .a import helper", "__init__.py": "import os"}
    trees = {tmp_path / name: ast.parse(text) for name, text in sources.items()}
    gone = {tmp_path / "a.py": ((2, 2),)}
    assert [one.name for one in unused(trees, gone)] == ["helper"]
    trees[tmp_path / "__init__.py"] = ast.parse("from .a import helper")
    assert unused(trees, gone) == []


def test_the_report_on_an_engine_names_file_and_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "engine").mkdir()
    source = (
        IMPORTS + "\nif is_torch_equal('2.9.0'):\n    f()\nif is_torch_equal_or_newer('2.13'):\n    g()\ndef f(): ...\n"
    )
    (tmp_path / "engine" / "a.py").write_text(source)
    (tmp_path / "engine" / "b.py").write_text("x = = 1")
    (tmp_path / "engine" / "c.py").write_text("x = " + " + ".join("1" * 2000))
    assert main(["prune", "engine", "--torch", ">=2.12"]) == 2
    out, err = capsys.readouterr()
    assert "engine/a.py:11: always False: is_torch_equal('2.9.0'); dead: 11-12\n" in out
    assert "engine/a.py:15: only dead lines use f; dead: 15-15\n" in out
    assert "engine/a.py:13: still decides: is_torch_equal_or_newer('2.13')\n" in out
    assert out.endswith("1 of 2 version gates have one outcome; 3 lines are dead\n")
    assert re.fullmatch("compat: engine/b.py: cannot be read .*\ncompat: engine/c.py: cannot be read .*\n", err)


@pytest.mark.skipif(VLLM not in os.environ, reason=f"{VLLM} does not name a folder with the sources of vLLM 0.33.0")
def test_every_gate_that_a_person_found_in_vllm_and_no_other(monkeypatch):
    monkeypatch.chdir(os.environ[VLLM])
    files, sentences = search(["vllm/env_override.py", "vllm/compilation"], torch_range("==2.14.0"))
    assert not sentences
    found = [[str(gate.path), gate.line, _normal(gate.text), gate.outcome] for file in files for gate in file.gates]
    by_hand = json.loads((Path(__file__).parent / "data" / "vllm_0_33_0_gates.json").read_text())
    assert found == [[path, line, _normal(text), outcome] for path, line, text, outcome in by_hand]


def _normal(text):
    return ast.unparse(ast.parse(text))


FILES = {
    "pyproject.toml": ('[project]\nkeywords = ["torch"]\ndependencies = [\n  "numpy",\n  "torch>=2.12,<2.16", # us\n]\n'
                       '[build-system]\nrequires = ["torch==2.14.0"]\n[tool.isort]\nown = ["torch"]\n', "<2.16,>=2.12"),
    "build.toml": ('[build-system]\nrequires = [\n    "torch == 2.14.0",\n]\n[project]\ndependencies = ["torchao"]\n',
                   "==2.14.0"),
    "extra.toml": ('[project.optional-dependencies]\na = ["torch[opt]==2.11.*"]\nb = ["torch==2.12.1; extra==\'b\'"]\n',
                   "==2.11.* or ==2.12.1"),
    "requirements.txt": ("# torch==1.0\n-r other/more.txt\n--extra-index-url x\ntorchaudio==2.11.0\n", ">=2.10"),
    "escaped.toml": ("[project]\ndependencies = [\n  \"torch==2.11.0; sys_platform == 'darwin'\",\n"
                     '  "torch==2.14.0; sys_platform == \\"linux\\"",\n]\n', "==2.11.0 or ==2.14.0"),
    "bare.txt": ("torch\n", "any"),
    "local.txt": ("torch==2.11.0+cpu ; python_version > '3'\n", "==2.11.0+cpu"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_the_range_is_read_from_an_engines_own_file(tmp_path, name):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "more.txt").write_text("torch>=2.10 --hash=sha256:00\n")
    (tmp_path / name).write_text(FILES[name][0])
    torches = torch_range(str(tmp_path / name))
    assert torches.text == FILES[name][1]
    assert torches.samples()


@pytest.mark.parametrize(("spec", "says"), [
    ("2.14", "no version specifier"),
    ("no/such/file.toml", "no version specifier"),
    ("x" * 300, "no version specifier"),
    (">=2.12,<2.11", "there is no torch version in"),
    ("{folder}/none.txt", "has no requirement on torch"),
    ("{folder}/broken.txt", "cannot be read"),
])  # fmt: skip
def test_a_bad_range_is_one_sentence(tmp_path, spec, says, capsys):
    (tmp_path / "none.txt").write_text("numpy\n")
    (tmp_path / "broken.txt").write_text("-r missing.txt\n")
    assert main(["prune", "--torch", spec.format(folder=tmp_path)]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1


def test_without_a_range_there_is_nothing_to_prune_for(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["prune"])
    assert ended.value.code == 2
    assert "--torch" in capsys.readouterr().err


def test_no_torch_from_2_12_on_needs_the_backport_of_lazy_graph_module(capsys):
    assert main(["prune", "--torch", ">=2.12,<2.16"]) == 0
    goes, stays = capsys.readouterr().out.split("Still needed:")
    assert "adapter torch_2_11: no torch in this range" in goes
    assert re.search(r"backport of lazy_graph_module: torch 2\.12\.0 has it: .* \[2\.12\.0, .*2\.15\.0\]", goes)
    assert "adapter torch_2_12: " in stays
    lines = stays[stays.index("Lines that go with it") :]
    assert "compat/adapters/torch_2_11.py:1-" in lines
    assert re.search(r"compat/shims/lazy_graph_module\.py:\d+-\d+ _replace_split\n", lines)
    assert not re.search(r"lazy_graph_module\.py:.*_replace_choice", lines)


def test_what_only_a_backport_runs_are_its_branches_its_requirements_and_what_those_use():
    source = """\
def _new(): ...
def _old(): ...
def _patch(mode):
    found = [_new]
    if mode == "backport":
        found.append(_old)
    return found
SHIM = Shim(
    native=(Symbol(""),),
    backport=(
        Calls(""),
    ),
)
"""
    path = Path("shim.py")
    tree = ast.parse(source)
    lines = tuple(prune._of_backport(tree))
    assert sorted(lines) == [(5, 6), (10, 12)]
    assert [one.name for one in unused({path: tree}, {path: lines})] == ["_old"]


def test_a_range_with_2_11_still_needs_it_and_says_for_which(capsys):
    assert main(["prune", "--torch", ">=2.11"]) == 0
    goes, stays = capsys.readouterr().out.split("Still needed:")
    stays, _, rest = stays.partition("\n\n")
    lines = rest.partition("When each shim can go:")[0]
    assert re.search(r"shim lazy_graph_module: torch 2\.11\.0 lacks it .* \[2\.11\.0\]$", stays, re.MULTILINE)
    assert "lazy_graph_module" not in goes + lines
    for adapter in NEWEST_FIRST:
        name = adapter.__name__.rpartition(".")[2]
        assert (f"adapter {name}:" in stays) == (minor_of(adapter) >= (2, 11))
        assert (
            (f"adapter {name}:" in goes) == (f"compat/adapters/{name}.py:1-" in lines) == (minor_of(adapter) < (2, 11))
        )


def test_nothing_is_said_to_go_for_torches_that_nobody_has_scanned():
    assert not any(verdict.goes for verdict in prune.verdicts(torch_range(">=2.90,<3")) if "shim" in verdict.what)


MODES = {"native": "no", "backport": "no", "reason": "because"}


@pytest.mark.parametrize(("kind", "auto", "forced", "goes"), [
    ("fix", "native", "no", "shim x"),
    ("speed", "native", "no", "backport of x"),
    ("speed", "noop", "no", "shim x"),
    ("speed", "noop", "yes", None),
    ("fix", "backport", "yes", None),
    ("fix", "undecided", "no", None),
])  # fmt: skip
def test_what_goes_depends_on_what_every_torch_of_the_range_gets(kind, auto, forced, goes):
    shim = variant(prune.all_shims()[0], name="x", kind=kind)
    within = {torch: {"x": {**MODES, "auto": auto, "backport": forced}} for torch in ("2.12.0", "2.13.0")}
    verdict = prune._shim(shim, within)
    assert (verdict.what if verdict.goes else None) == goes
    within["2.12.0"]["x"] = {**MODES, "auto": "backport"}
    assert not prune._shim(shim, within).goes


def test_a_folder_that_cannot_be_read_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "engine" / "closed").mkdir(parents=True)
    (tmp_path / "engine" / "a.py").write_text("x = 1\n")
    (tmp_path / "engine" / "b.py").write_text("x = " + "-" * 100_000 + "1\n")
    scandir = os.scandir

    def closed(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    assert main(["prune", "engine", "--torch", "==2.14.0"]) == 2
    out, err = capsys.readouterr()
    assert out.endswith("0 of 0 version gates have one outcome; 0 lines are dead\n")
    folder, file = err.splitlines()
    assert folder == "compat: engine/closed: cannot be read (Permission denied)"
    assert file.startswith("compat: engine/b.py: cannot be read")


def test_of_a_file_that_goes_whole_no_line_is_told_twice(capsys):
    assert main(["prune", "--torch", ">=2.12"]) == 0
    out = capsys.readouterr().out
    assert len(re.findall(r"^  compat/adapters/torch_2_10\.py:", out, re.MULTILINE)) == 1
