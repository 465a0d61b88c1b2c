"""Small torches to scan: written by hand, or made from the source files of the installed torch."""

from __future__ import annotations

import zipfile
from pathlib import Path

from compat import version
from compat.probe.requirements import answer
from compat.probe.source import SourceReader
from compat.shims.base import all_shims
from compat.tools.scan.torches import _ESSENTIAL

LAZY = """
_force_skip_lazy_graph_module_flag = False
class _LazyGraphModule: ...
@contextmanager
def _use_lazy_graph_module(should_use): ...
def _get_graph_module_cls(): ...
def _make_graph_module(*args, **kwargs): return _get_graph_module_cls()(*args, **kwargs)
"""
PLAIN = "def split_module(m): return torch.fx.graph_module.GraphModule(m, m)\n"
NATIVE = "def split_module(m): return _make_graph_module(m, m)\n"
SPLIT = "torch/fx/passes/split_module.py"


def written(torch: str, split: str, lazy: str = LAZY) -> dict[str, str]:
    """Return the files of a torch of version `torch` with these two modules."""
    files = {f"{package}/__init__.py": "" for package in _ESSENTIAL}
    return files | {
        "torch/version.py": f"__version__ = {torch!r}\n",
        "torch/fx/_lazy_graph_module.py": lazy,
        SPLIT: split,
    }


def installed() -> dict[str, str]:
    """Return the files of the installed torch that hold its version and the code that the shims check."""
    parent = Path(version.folder()).parent
    names = {"torch/version.py", *(f"{package}/__init__.py" for package in _ESSENTIAL)}

    def read(name: str) -> str | None:
        names.add(name)  # a requirement can read a header as well as a module
        return (parent / name).read_text("utf-8") if (parent / name).is_file() else None

    source = SourceReader(read)
    for shim in all_shims():
        for requirement in (*shim.native, *shim.backport):
            answer(requirement, source)
    return {name: text for name in sorted(names) if (text := read(name)) is not None}


def as_tree(folder: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    return str(folder)


def as_wheel(path: Path, files: dict[str, str]) -> str:
    record = "".join(f"{name},sha256=0,0\n" for name in files)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, text in {**files, "torch-0.dist-info/RECORD": record}.items():
            wheel.writestr(name, text)
    return str(path)
