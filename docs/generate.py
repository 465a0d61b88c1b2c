"""Write the generated parts of the documentation, or check that they are current.

    python docs/generate.py            writes the parts
    python docs/generate.py --check    writes nothing; names each stale file and exits with status 1

Four parts are generated, all without torch:

- `docs/api.md`, from the docstrings of everything that `compat.__all__` and `compat.api.__all__` name;
- the table of shims in README.md, from `compat.status()`, from the paragraph `Symptom:` at the top of each shim's file,
  and from the support record (`support.json`), which knows the torches that each backport fits;
- the files that CONTRIBUTING.md shows, each in the code block below a comment `<!-- file: PATH -->`;
- the imports in `compat/shims/__init__.py`, from the newest adapter.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
import typing
from collections.abc import Iterator
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # document this checkout, not an installed copy

import compat  # noqa: E402

API = ROOT / "docs" / "api.md"
README = ROOT / "README.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
SHIMS = ROOT / "compat" / "shims" / "__init__.py"

API_HEAD = """# The public API

`docs/generate.py` writes this page from the docstrings: edit those, then run `python docs/generate.py`.

A vendored copy has the same API under its own package path, for example `engine._vendor.compat`. If torch is not
installed, `import compat` works all the same. [guide.md](guide.md) shows these functions in use.
"""
SECTIONS = ("Args", "Attributes", "Returns", "Yields", "Raises", "Example", "Examples")
NOT_RECORDED = "not recorded yet"


# --- docs/api.md ---


def api_page() -> str:
    """Render the public API as Markdown: functions first, then classes, errors and types, and last `compat.api`."""
    public = {name: getattr(compat, name) for name in compat.__all__ if name != "api"}
    groups: dict[str, list[str]] = {"Functions": [], "Classes": [], "Errors and warnings": [], "Types": []}
    for name, value in public.items():
        groups[_group(value)].append(_entry(name, value))
    parts = [API_HEAD]
    for title, entries in groups.items():
        if entries:
            parts += [f"## {title}\n", *entries]
    parts += ["## `compat.api`\n", f"{_doc(compat.api)}\n"]
    parts += [_entry(f"api.{name}", getattr(compat.api, name)) for name in compat.api.__all__]
    return "\n".join(parts).rstrip("\n") + "\n"


def _group(value: Any) -> str:
    if isinstance(value, type):
        return "Errors and warnings" if issubclass(value, BaseException) else "Classes"
    return "Functions" if inspect.isroutine(value) else "Types"


def _entry(name: str, value: Any) -> str:
    if isinstance(value, type):
        bases = "NamedTuple" if hasattr(value, "_fields") else value.__bases__[0].__name__.replace("object", "")
        head = [f"### `{name}`", "", f"`class {name}({bases})`" if bases else f"`class {name}`"]
        body = [rendered(_doc(value)), *_fields(value)]
    elif inspect.isroutine(value):
        head = [f"### `{name}`", "", "```python", signature(name, value), "```"]
        body = [rendered(_doc(value))]
    else:
        words = ", ".join(f"`{word!r}`".replace("'", '"') for word in typing.get_args(value))
        head = [f"### `{name}`", "", f"One of {words}." if words else f"`{value}`"]
        body = [rendered(_doc_below_assignment(name))]
    return "\n\n".join(["\n".join(head), *filter(None, body)]) + "\n"


def _doc(value: Any) -> str:
    """Return the docstring, without the one that Python writes for a NamedTuple or a dataclass."""
    text = inspect.cleandoc(value.__doc__ or "")
    return "" if text.startswith(f"{getattr(value, '__name__', '')}(") else text


def _fields(value: type) -> list[str]:
    """List the fields of a NamedTuple, unless its docstring has a section `Attributes:`."""
    names = getattr(value, "_fields", ())
    if not names or re.search(r"^Attributes:$", _doc(value), re.MULTILINE):
        return []
    annotations = inspect.get_annotations(value)
    return ["\n".join(["**Fields**", "", *(f"- `{name}`: `{_annotation(annotations[name])}`" for name in names)])]


def _doc_below_assignment(name: str) -> str:
    """Find the string that stands below `name = ...` in the package, which is how a type alias is documented."""
    for path in sorted((ROOT / "compat").rglob("*.py")):
        body = ast.parse(path.read_text("utf-8")).body
        for statement, following in pairwise(body):
            targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                value = following.value if isinstance(following, ast.Expr) else None
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    return inspect.cleandoc(value.value)
    return ""


def signature(name: str, function: Any) -> str:
    """Render the signature, with one parameter a line if it is long."""
    given = inspect.signature(function)
    parts: list[str] = []
    previous = None
    for parameter in given.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and previous not in (
            parameter.KEYWORD_ONLY,
            parameter.VAR_POSITIONAL,
        ):
            parts.append("*")
        text = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "") + parameter.name
        if parameter.annotation is not parameter.empty:
            text += f": {_annotation(parameter.annotation)}"
        if parameter.default is not parameter.empty:
            text += f" = {parameter.default!r}".replace("'", '"')
        parts.append(text)
        previous = parameter.kind
    returns = "" if given.return_annotation is given.empty else f" -> {_annotation(given.return_annotation)}"
    line = f"{name}({', '.join(parts)}){returns}"
    if len(line) <= 100:
        return line
    return "\n".join([f"{name}(", *(f"    {part}," for part in parts), f"){returns}"])


def _annotation(value: Any) -> str:
    value = getattr(value, "__forward_arg__", value)  # a NamedTuple wraps its annotations
    text = value if isinstance(value, str) else inspect.formatannotation(value)
    return re.sub(r"\bcompat\.(?:\w+\.)*", "", text).replace("'", '"')


def rendered(doc: str) -> str:
    """Turn a docstring in Google style into Markdown: each section becomes a bold word with a list below it."""
    blocks: list[str] = []
    lines = doc.splitlines()
    at = 0
    while at < len(lines):
        title = lines[at].rstrip(":")
        if lines[at].endswith(":") and title in SECTIONS:
            inside = []
            at += 1
            while at < len(lines) and (not lines[at].strip() or lines[at].startswith(" ")):
                inside.append(lines[at])
                at += 1
            blocks.append(_section(title, inspect.cleandoc("\n" + "\n".join(inside)).splitlines()))
            continue
        start = at
        while at < len(lines) and not (lines[at].endswith(":") and lines[at].rstrip(":") in SECTIONS):
            at += 1
        blocks.append("\n".join(lines[start:at]).strip())
    return "\n\n".join(filter(None, blocks))


def _section(title: str, lines: list[str]) -> str:
    if title in ("Returns", "Yields"):
        return f"**{title}** " + " ".join(line.strip() for line in lines)
    if title.startswith("Example"):
        return "\n".join([f"**{title}**", "", "```python", *lines, "```"])
    entries: list[str] = []
    for line in lines:
        if line and not line.startswith(" "):
            name, _, text = line.partition(":")
            entries.append(f"- `{name}`: {text.strip()}")
        elif line.strip() and entries:
            entries[-1] += f" {line.strip()}"
    return "\n".join([f"**{title}**", "", *entries])


# --- README.md: the table of shims ---


def readme(text: str) -> str:
    """Return README with its table of shims written anew."""
    begin, end = "<!-- shims: written by docs/generate.py -->\n", "<!-- end of shims -->"
    before, found, rest = text.partition(begin)
    if not found or end not in rest:
        raise SystemExit(f"README.md lacks the lines {begin.strip()!r} and {end!r}")
    return before + begin + "\n".join(_table()) + "\n" + end + rest.partition(end)[2]


def _table() -> Iterator[str]:
    yield "| shim | without it | torch |"
    yield "|---|---|---|"
    shims = [row for row in compat.status() if row.kind != "api"]
    for row in sorted(shims, key=lambda row: row.kind != "speed"):
        page = f"{row.name}.md" if (ROOT / "docs" / f"{row.name}.md").exists() else f"support.md#{row.name}"
        kind = "" if row.kind == "fix" else f" ({row.kind})"
        yield f"| [`{row.name}`](docs/{page}){kind} | {symptom(row.name)} | {affected(row.name)} |"


def symptom(name: str) -> str:
    """Return the first sentence of the paragraph `Symptom:` at the top of the shim's file."""
    doc = ast.get_docstring(ast.parse((ROOT / "compat" / "shims" / f"{name}.py").read_text("utf-8"))) or ""
    told = re.search(r"^Symptom: (.+?)(?=^[A-Z]\w+: |^\s*$|\Z)", doc, re.MULTILINE | re.DOTALL)
    if told is None:
        raise SystemExit(f"compat/shims/{name}.py has no paragraph 'Symptom:' in its docstring")
    sentence = re.match(r"(.+?)\.(?=\s|$)", " ".join(told[1].split()))
    return (sentence[1] if sentence else told[1].strip()).replace("|", "\\|")


def affected(name: str) -> str:
    """Name the recorded torches that get the backport, as in "2.9.1 to 2.12.1", and those that get it by name alone."""
    (path,) = (ROOT / "compat" / "tools").rglob("support.json")
    recorded = json.loads(path.read_text("utf-8"))
    given = {torch: about["live"].get(name, {}) for torch, about in recorded.items()}
    unasked = runs({torch: modes.get("auto") == "backport" for torch, modes in given.items()})
    fits = {torch: (modes.get("native"), modes.get("backport")) == ("no", "yes") for torch, modes in given.items()}
    by_name = "" if runs(fits) == unasked else f' (`mode="backport"`: {runs(fits)})'
    return f"{unasked}{by_name}" or NOT_RECORDED


def runs(chosen: dict[str, bool]) -> str:
    """Name the chosen torches: those that follow each other as "2.9.1 to 2.12.1"."""
    groups = [[torch for torch, _ in group] for is_in, group in groupby(chosen.items(), lambda item: item[1]) if is_in]
    return ", ".join(group[0] if len(group) == 1 else f"{group[0]} to {group[-1]}" for group in groups)


# --- CONTRIBUTING.md: the files that it shows ---


def contributing(text: str) -> str:
    """Return CONTRIBUTING with every shown file copied in anew."""

    def shown(match: re.Match[str]) -> str:
        content = (ROOT / match["path"]).read_text("utf-8").strip()
        return f"{match['head']}\n```{match['language']}\n{content}\n```"

    pattern = r"(?P<head><!-- file: (?P<path>\S+) -->)\n```(?P<language>\w*)\n.*?\n```"
    return re.sub(pattern, shown, text, flags=re.DOTALL)


# --- compat/shims/__init__.py ---


def imports(text: str) -> str:
    """Return the text with an import of every shim. It never runs: PyInstaller reads it."""
    names = "".join(f"        {name},\n" for name in sorted(compat.adapters.NAMES))
    return re.sub(r"(    from \. import \(.*\n)(        \w+,\n)*", rf"\g<1>{names}", text)


def main(arguments: list[str]) -> int:
    """Write the parts, or with `--check` compare them. Returns the exit status."""
    wanted = {
        API: api_page(),
        README: readme(README.read_text("utf-8")),
        CONTRIBUTING: contributing(CONTRIBUTING.read_text("utf-8")),
        SHIMS: imports(SHIMS.read_text("utf-8")),
    }
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text("utf-8") != text]
    if arguments == ["--check"]:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is stale: run python docs/generate.py", file=sys.stderr)
        return int(bool(stale))
    for path in stale:
        path.write_text(wanted[path], "utf-8")
        print(f"{path.relative_to(ROOT)} written")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
