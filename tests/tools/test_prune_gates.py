"""Single gates: each form with its outcome, and random gates compared with running them on many versions."""

import ast
import re

import pytest
from helpers.prune import Supposed
from helpers.this_torch import same_on_every_torch
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging import version as packaging_version

from compat.tools.prune.command import examine
from compat.tools.prune.index import Index
from compat.tools.prune.pins import torch_range

pytestmark = same_on_every_torch

IMPORTS = """\
import importlib.metadata, operator, re
import torch
from importlib.metadata import version as dist
from packaging import version
from packaging.specifiers import SpecifierSet
from packaging.version import Version, parse
from elsewhere import compare_version, is_torch_equal_or_newer, is_torch_version, torch_version_at_least
from elsewhere import TORCH_VERSION_AT_LEAST_2_8, TORCH_2_4, is_torch_greater_or_equal_than_2_17, envs
"""


def gates(tmp_path, source, spec="==2.14.0", imports=IMPORTS):
    path = tmp_path / "engine.py"
    path.write_text(imports + source, "utf-8")
    report = examine(Index([str(path)]), torch_range(spec))
    assert not report.sentences
    return [(gate.text, gate.outcome) for gate in report.gates]


# Each form of gate, with its outcome for 2.14.0.
FORMS = {
    "not is_torch_equal_or_newer('2.16.0.dev')": True,
    "is_torch_version('>=', '2.1')": True,
    "is_torch_version(operation='<', version='2.1')": False,
    "torch_version_at_least('2.8.0')": True,
    "torch_version_at_least(2, 8)": True,
    "TORCH_VERSION_AT_LEAST_2_8": True,
    "TORCH_2_4": True,
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
    "Version(torch.__version__).release >= (2, 10)": True,
    "parse(torch.__version__.split('+')[0]) == parse('2.14.0')": True,
    "parse(parse(torch.__version__).base_version) >= parse('2.14.0')": True,
    "Version(torch.__version__).major == 1": False,
    "(parse(torch.__version__).major, parse(torch.__version__).minor) >= (2, 9)": True,
    "tuple(int(x) for x in torch.__version__.split('.')[:2]) >= (2, 9)": True,
    "tuple(map(int, torch.__version__.split('.')[:2])) == (2, 14)": True,
    "[int(x) for x in torch.__version__.split('.')[:2]] < [2, 9]": False,
    "torch.__version__.split('.')[:2] == ('2', '14')": False,  # a list equals no tuple
    "int(torch.__version__.split('.')[0]) * 100 + int(torch.__version__.split('.')[1]) >= 210": True,
    "float('.'.join(torch.__version__.split('.')[:2])) >= 2.2": False,
    "parse(importlib.metadata.version('torch')) >= parse('2.9')": True,
    "Version(dist('torch')) >= Version('2.9')": True,
    "Version(torch.__version__) in SpecifierSet('>=2.9')": True,
    "compare_version('torch', operator.ge, '2.4.0')": True,
    "re.match(r'(\\d+)\\.(\\d+)', torch.__version__).group(1) == '2'": True,
    "is_torch_equal_or_newer('2.6') or envs.X": True,
    "envs.X and is_torch_equal_or_newer('2.60')": False,
    "parse(torch.__version__).minor % 2 == 0": True,
}
NO_GATES = [
    "Version(dist('triton')) >= Version('3.0')",
    "Version('2.9') < Version('2.10')",
    "torch.cuda.is_available()",
    "torch.version.cuda >= '12'",
    "f'{torch.__version__}'",
    "x.__version__ >= '2.0'",
    "is_torch",
    "True",
]


@pytest.mark.parametrize("form", FORMS)
def test_form_of_gate_has_its_outcome(tmp_path, form):
    outcome = f"always {FORMS[form]}".lower()
    assert gates(tmp_path, f"if {form}:\n    pass\n") == [(ast.unparse(ast.parse(form)), outcome)]


@pytest.mark.parametrize("form", NO_GATES)
def test_expression_without_torchs_version_is_no_gate(tmp_path, form):
    assert gates(tmp_path, f"if {form}:\n    pass\n") == []


# Code after which a name may hold another value than its first assignment, which is True on every torch.
REBOUND = {
    "assignment": "HAS = TRUE\nHAS = g()\nif HAS: f()\n",
    "global": "HAS = TRUE\ndef h():\n    global HAS\n    HAS = g()\nif HAS: f()\n",
    "call before the last": "HAS = g()\ndef h():\n    if HAS: f()\nh()\nHAS = TRUE\n",
    "class body before the last": "HAS = g()\nclass A:\n    if HAS: f()\nHAS = TRUE\n",
    "nonlocal": "def m():\n    HAS = TRUE\n    def h():\n        nonlocal HAS\n"
    "        HAS = g()\n    h()\n    if HAS: f()\n",
    "parameter": "HAS = TRUE\ndef h(HAS):\n    if HAS: f()\n",
    "parameter with a default": "def h(HAS=TRUE):\n    if HAS: f()\n",
    "for": "HAS = TRUE\nfor HAS in g():\n    if HAS: f()\n",
    "while": "HAS = TRUE\nwhile g():\n    if HAS: f()\n    HAS = g()\n",
    "try": "try:\n    g()\n    HAS = TRUE\nexcept E:\n    HAS = False\nif HAS: f()\n",
    "import that may fail": "HAS = TRUE\ntry:\n    from torch.a import b\nexcept ImportError:\n"
    "    HAS = False\nif HAS: f()\n",
    "with": "HAS = TRUE\nwith g() as HAS:\n    if HAS: f()\n",
    "match": "HAS = TRUE\nmatch g():\n    case {'a': 1, **HAS}: pass\nif HAS: f()\n",
    "walrus": "HAS = TRUE\n[HAS := x for x in g()]\nif HAS: f()\n",
    "del": "HAS = TRUE\ndel HAS\nif HAS: f()\n",
    "augmented": "HAS = TRUE\nHAS &= g()\nif HAS: f()\n",
    "unpacking": "HAS = TRUE\n*HAS, a = g()\nif HAS: f()\n",
    "globals": "HAS = TRUE\nglobals()['HAS'] = g()\nif HAS: f()\n",
    "globals().update": "HAS = TRUE\nglobals().update(g())\nif HAS: f()\n",
    "vars": "HAS = TRUE\nvars()['HAS'] = g()\nif HAS: f()\n",
    "exec": "HAS = TRUE\nexec(g())\nif HAS: f()\n",
    "exec of a text": "HAS = TRUE\nexec('HAS = g()')\nif HAS: f()\n",
    "sys.modules": "HAS = TRUE\nsys.modules[__name__].HAS = g()\nif HAS: f()\n",
    "own module": "HAS = TRUE\nm = import_module(__name__)\nm.HAS = g()\nif HAS: f()\n",
    "setattr": "HAS = TRUE\nsetattr(sys.modules[__name__], 'HAS', g())\nif HAS: f()\n",
    "star import": "HAS = TRUE\nfrom elsewhere import *\nif HAS: f()\n",
    "method": "class A:\n    def __init__(self): self.HAS = TRUE\n    def off(self): self.HAS = g()\n"
    "    def m(self):\n        if self.HAS: f()\n",
    "other object": "class A:\n    HAS = TRUE\ndef h(a): a.HAS = g()\ndef m():\n    if A.HAS: f()\n",
    "class from outside": "class A:\n    HAS = TRUE\nA.HAS = g()\nif A.HAS: f()\n",
    "subclass": "class A:\n    HAS = TRUE\n    def m(self):\n        if self.HAS: f()\nclass B(A):\n    HAS = False\n",
    "subclass of it": "class A:\n    HAS = TRUE\n    def m(self):\n        if self.HAS: f()\n"
    "class B(A): ...\nclass C(B):\n    HAS = False\n",
    "base class": "class A:\n    def __init__(self): self.HAS = g()\nclass B(A):\n    HAS = TRUE\n"
    "    def m(self):\n        if self.HAS: f()\n",
    "field": "@dataclass\nclass A:\n    HAS: bool = TRUE\n    def m(self):\n        if self.HAS: f()\n",
    "named tuple": "class A(NamedTuple):\n    HAS: bool = TRUE\n    def m(self):\n        if self.HAS: f()\n",
    "__dict__": "class A:\n    def __init__(self, **k):\n        self.HAS = TRUE\n        self.__dict__.update(k)\n"
    "    def m(self):\n        if self.HAS: f()\n",
    "setattr of any name": "class A:\n    HAS = TRUE\n    def s(self, k): setattr(self, k, g())\n"
    "    def m(self):\n        if self.HAS: f()\n",
    "__getattribute__": "class A:\n    HAS = TRUE\n    def __getattribute__(self, n): return g()\n"
    "    def m(self):\n        if self.HAS: f()\n",
    "list that is filled": "HAS = []\nfill(HAS)\nif HAS or not TRUE: f()\n",
    "list that is filled in a function": "def m():\n    HAS = []\n    for x in g(): HAS.append(x)\n    return not HAS\n"
    "if m(): f()\n",
    "other name of a list": "a = HAS = [TRUE]\nb = HAS\nb[0] = g()\nif HAS[0]: f()\n",
    "mapping": "HAS = {'a': TRUE}\nHAS.update(g())\nif HAS['a']: f()\n",
    "parts of the version": "def m():\n    p = torch.__version__.split('.')\n    p.reverse()\n"
    "    return int(p[0]) > 1\nif m(): f()\n",
    "torch itself": "torch.__version__ = g()\nif torch.__version__ >= '2.5': f()\n",
}


@pytest.mark.parametrize("way", REBOUND)
def test_name_that_may_be_bound_again_is_not_constant(tmp_path, way):
    found = gates(tmp_path, REBOUND[way].replace("TRUE", "is_torch_equal_or_newer('2.6')"))
    outcomes = {text: outcome for text, outcome in found if text != "is_torch_equal_or_newer('2.6')"}
    assert not [
        text for text, outcome in outcomes.items() if outcome.startswith("always") and "not is_torch" not in text
    ]


@pytest.mark.parametrize(("spec", "form", "outcome"), [
    (">=2.12", "is_torch_equal_or_newer('2.12.0.dev')", "always true"),
    (">=2.12", "is_torch_equal_or_newer('2.12.1')", "depends"),
    (">=2.12,<2.16", "is_torch_equal_or_newer('2.16')", "always false"),
    (">=2.12,<2.16", "is_torch_equal_or_newer('2.15.0')", "depends"),
    (">=2.12", "parse(torch.__version__) < parse('2.31.7')", "depends"),
    (">=2.12", "parse(torch.__version__).minor == 750", "depends"),
    (">=2.12", "parse(torch.__version__).micro < 123", "depends"),
    ("==2.14.0", "Version(torch.__version__) == Version('2.14.0')", "depends"),  # not for 2.14.0+cu130
    ("==2.14.*", "Version(torch.__version__) >= Version('2.14')", "depends"),  # not for 2.14.0.dev
    (">=2.12.0.dev0", "parse(torch.__version__) == parse('2.12.dev20260301')", "depends"),
    (">=2.9", "Version(torch.__version__).release <= (2, 9)", "always false"),
    (">=2.12.0.dev0,<2.12.0rc9", "is_torch_equal_or_newer('2.12.0')", "not understood"),  # some drop the `.dev0`
    ("==2.14.0", "is_torch_equal_or_newer(MINIMUM)", "not understood"),
    ("==2.14.0", "parse(torch.__version__) >= parse(MINIMUM)", "not understood"),
    (">=2.10", "SpecifierSet('>=2.5').contains(torch.__version__)", "not understood"),  # packaging versions differ
])  # fmt: skip
def test_only_one_outcome_on_the_whole_range_is_an_outcome(tmp_path, spec, form, outcome):
    ((_, found),) = gates(tmp_path, f"if {form}:\n    pass\n", spec)
    assert found == outcome


@pytest.mark.parametrize(("source", "outcome"), [
    ("if torch is not None and Version(torch.__version__) >= Version('2.4'): f()\n", "always true"),
    ("NEW = torch is not None and Version(torch.__version__) >= Version('2.4')\nif NEW: f()\n", "depends"),
])  # fmt: skip
def test_a_test_for_torch_itself_stays(tmp_path, source, outcome):
    head = "from packaging.version import Version\ntry:\n    import torch\nexcept ImportError:\n    torch = None\n"
    found = gates(tmp_path, source, imports=head)
    assert found[-1][1] == outcome
    assert found[-1][0] != "torch is not None and Version(torch.__version__) >= Version('2.4')"


def test_reason_names_a_version_of_each_outcome_and_warns_of_strings(tmp_path):
    (tmp_path / "a.py").write_text("import torch\nif str(torch.__version__) >= '2.4': f()\n")
    (gate,) = examine(Index([str(tmp_path)]), torch_range(">=2.4,<3")).gates
    assert "2.10.0 takes the else, 2.4.0 takes the if" in gate.reason
    assert "compares versions as strings" in gate.reason


def test_reason_names_the_condition_that_matters(tmp_path):
    source = (
        "def n(x):\n    if x.ready: return True\n    return torch.__version__ >= '2.13'\nif n(a): f()\n"
        "def m(x):\n    if x.loud: k = 1\n    if x.old: return False\n    if x.loud: k = 1\n"
        "    return torch.__version__ >= '2.13'\nif m(a): f()\n"
    )
    (tmp_path / "a.py").write_text("import torch\n" + source)
    reasons = {gate.text: gate.reason for gate in examine(Index([str(tmp_path)]), torch_range(">=2.10")).gates}
    assert reasons["m(a)"] == "also depends on `x.old`"


def test_comparison_in_code_that_is_a_text_is_told(tmp_path):
    (tmp_path / "a.py").write_text('import torch\nCODE = """\nimport torch\nnew = torch.__version__ >= "2.5"\n"""\n')
    (gate,) = examine(Index([str(tmp_path)]), torch_range(">=2.10")).gates
    assert (gate.line, gate.outcome, gate.reason) == (4, "not understood", "is code in a text")


def test_helpers_are_followed_into_other_modules(tmp_path):
    files = {
        "__init__.py": "",
        "utils/__init__.py": "from .torches import NEW, at_least\n",
        "utils/torches.py": IMPORTS + "NEW = parse(torch.__version__) >= parse('2.9')\n"
        "@lru_cache\ndef at_least(target):\n    '''Or newer.'''\n    return parse(torch.__version__) >= parse(target)\n"
        "def old(): return not NEW\n",
        "a.py": "from engine.utils import NEW, at_least\nfrom .utils.torches import old as is_old\n"
        "from .utils import torches\nf(NEW, at_least('2.20'), is_old(), torches.NEW)\n",
    }
    for name, text in files.items():
        (tmp_path / "engine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "engine" / name).write_text(text)
    report = examine(Index([str(tmp_path / "engine")]), torch_range("==2.14.0"))
    found = [(gate.text, gate.outcome) for gate in report.gates if gate.module.path.name == "a.py"]
    assert found == [
        ("NEW", "always true"), ("at_least('2.20')", "always false"), ("is_old()", "always false"),
        ("torches.NEW", "always true"),
    ]  # fmt: skip


def test_file_named_torch_in_an_engine_is_not_torch(tmp_path):
    (tmp_path / "engine").mkdir()
    files = {
        "__init__.py": "",
        "torch.py": IMPORTS + "def required(minimum):\n    return parse(torch.__version__) >= parse(str(minimum))\n",
        "a.py": "from engine.torch import required\nif required(2.3): f()\n",
    }
    for name, text in files.items():
        (tmp_path / "engine" / name).write_text(text)
    report = examine(Index([str(tmp_path / "engine")]), torch_range(">=2.10"))
    assert ("required(2.3)", "always true") in [(gate.text, gate.outcome) for gate in report.gates]


def test_exec_of_unknown_text_leaves_imported_torch_alone(tmp_path):
    source = "import torch\nexec(text, globals())\nOLD = torch.__version__ < '2.4'\nif OLD: f()\n"
    found = dict(gates(tmp_path, source, ">=2.10", imports=""))
    assert found["torch.__version__ < '2.4'"] == "always false"
    assert not found["OLD"].startswith("always")


# Code whose last condition is not always the same, though an earlier version of the interpreter took it to be.
NOT_CONSTANT = {
    "a set that another function adds to": "import torch\nFAILED = set()\ndef note(k):\n"
    "    FAILED.add((k, torch.__version__))\ndef known(k):\n    if (k, torch.__version__) in FAILED: return 1\n",
    "a set display that another function adds to": "import torch\nSEEN = {''}\ndef note():\n"
    "    SEEN.add(torch.__version__)\ndef known():\n    if torch.__version__ in SEEN: return 1\n",
    "a shift": "import torch\nMOST = 1 << 27\ndef big(n):\n"
    "    if torch.__version__ >= '2.13' or n > 9: return True\n"
    "    return n > MOST\nif big(size): f()\n",
    "a union of sets": "import torch\ndef has(n):\n"
    "    if torch.__version__ >= '2.13' or n > 9: return True\n"
    "    return n in {1} | {2}\nif has(size): f()\n",
    "a question whether torch is installed": "from importlib.metadata import PackageNotFoundError, version\n"
    "try: torch_version = version('torch')\nexcept PackageNotFoundError: torch_version = 'N/A'\n"
    "if torch_version == 'N/A': f()\n",
}


@pytest.mark.parametrize("kind", NOT_CONSTANT)
def test_condition_that_may_differ_is_not_constant(tmp_path, kind):
    found = gates(tmp_path, NOT_CONSTANT[kind], ">=2.10", imports="")
    assert [gate for gate, outcome in found if outcome.startswith("always")] == []


def test_question_before_the_import_of_torch_also_tells_whether_torch_is_there(tmp_path):
    source = (
        "import importlib.util, importlib.metadata\nfrom packaging import version\n"
        "def available():\n    if importlib.util.find_spec('torch') is None: return False\n"
        "    return version.parse(importlib.metadata.version('torch')) >= version.parse('2.5')\n"
        "def f():\n    if not available():\n        return False\n    import torch\n"
    )
    assert ("available()", "always true") not in gates(tmp_path, source, ">=2.10", imports="")
    assert ("not available()", "always false") not in gates(tmp_path, source, ">=2.10", imports="")


SIGNS = ("<", "<=", ">", ">=", "==", "!=")
NUMBERS = [f"2.{minor}{micro}" for minor in range(8, 17) for micro in ("", ".0", ".1", ".0.dev", ".0a0", ".0rc1")]
SIGN, MINOR, EQUAL = st.sampled_from(SIGNS), st.integers(8, 16), st.sampled_from(("==", "!="))
PATTERNS = [r"2\.1\d", r"\d+\.\d+\.\d+$", r".*rocm"]
STAGES = ["is_prerelease", "is_devrelease", "is_postrelease"]
LEAVES = st.one_of(
    st.builds("Version(torch.__version__) {} Version('{}')".format, SIGN, st.sampled_from(NUMBERS)),
    st.builds("torch.__version__ {} '{}'".format, SIGN, st.sampled_from(NUMBERS)),
    st.builds("Version(torch.__version__).release {} (2, {})".format, SIGN, MINOR),
    st.builds("tuple(int(x) for x in torch.__version__.split('.')[:2]) {} (2, {})".format, SIGN, MINOR),
    st.builds("int(torch.__version__.split('.')[1]) * 2 {} {}".format, SIGN, st.integers(15, 33)),
    st.builds("str(torch.__version__) {} '{}'".format, SIGN, st.sampled_from(NUMBERS)),
    st.builds(
        "{!r} in torch.__version__".format,
        st.sampled_from(["rocm", "git", "cpu", "rc2", "dev", "post", "2.1", "+", "a0"]),
    ),
    st.builds("torch.__version__.startswith({!r})".format, st.sampled_from(["2.1", "2.10.", "2.9", "2", "3"])),
    st.builds("torch.__version__.split('+')[0] {} '{}'".format, EQUAL, st.sampled_from(NUMBERS)),
    st.builds("bool(re.match(r'{}', torch.__version__))".format, st.sampled_from(PATTERNS)),
    st.builds("Version(torch.__version__).{}".format, st.sampled_from(STAGES)),
    st.builds("Version(torch.__version__).local {} 'cpu'".format, EQUAL),
    st.just("flag"),
)  # fmt: skip
GATES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds("(not {})".format, inner),
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
    ),
    max_leaves=4,
)
BUILDS = (".dev0", ".dev20260101", "a0", "a0+git1", "rc1", "rc2", "", "+cpu", "+cu130", "+rocm7.2", ".post1", "+git12")
NUMBERS_OF_WORLD = ["1.13", *(f"2.{minor}" for minor in (0, *range(7, 18), 99)), *(f"3.{minor}" for minor in range(18))]
WORLD = [f"{number}.{micro}{build}" for number in NUMBERS_OF_WORLD for micro in (0, 1, 7) for build in BUILDS]
RANGES = [">=2.9,<2.12", ">=2.12", "==2.14.0", "==2.11.*", ">=2.10.0.dev0,!=2.12.0", "<2.13", ">=2.10", "2.14"]


@settings(deadline=None, max_examples=80)
@given(GATES, st.sampled_from(RANGES))
def test_constant_outcome_is_what_python_gives_on_every_version_of_the_range(tmp_path_factory, text, spec):
    torches = torch_range(spec)
    found = gates(tmp_path_factory.mktemp("engine"), f"f({text})\n", spec)
    names = {"Version": packaging_version.Version, "re": re}
    runs = [
        {**names, "torch": type("torch", (), {"__version__": Supposed(torch)}), "flag": flag}
        for torch in WORLD
        if torch in torches
        for flag in (True, False)
    ]
    for gate, outcome in found:
        if outcome.startswith("always"):
            assert {bool(eval(gate, run)) for run in runs} == {outcome == "always true"}
    # Below 2.13 there are more minors than this world has: 1.99 is none of them.
    if spec != "<2.13" and not re.search(r"flag|str\(| in |with|split\('\+|local|re\.", text):
        whole = {eval(text, run) for run in runs}
        if len(whole) == 1:
            expected = f"always {whole.pop()}".lower()
            assert [outcome for _, outcome in found] == [expected]
