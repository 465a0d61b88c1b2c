"""Check the documents: every link leads somewhere, and no sentence uses the words that hide an actor.

    python docs/check.py [PATH...]    default: every Markdown file of the repository, and the package

Links: each relative link must name a file of the repository, and each anchor a heading of that file. Web addresses are
not visited.

Words: a sentence names its actor. So no text says "somebody", "someone", "anybody", "nobody" or "whoever", and no
sentence starts with Who, What, Where, Whatever or Those. A heading that asks a question may.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SKIPPED = {".git", ".nox", ".tox", "build", "dist", "node_modules"}
# Written from the docstrings and messages of the package, and those are checked there.
GENERATED = {ROOT / "docs" / "support.md"}

WORDS = re.compile(
    r"\b([Ss]omebody|[Ss]omeone|[Ww]hoever|[Nn]obody|[Aa]nybody)\b|(?:^|[.;:|] )(Where|What|Who|Whatever|Those)\b"
)
LINK = re.compile(r"\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
FENCE = re.compile(r"^( *)(```|~~~).*?^\1\2\s*$", re.MULTILINE | re.DOTALL)


def broken_links(path: Path) -> Iterator[str]:
    """Yield a sentence for each link of a Markdown file that leads nowhere."""
    text = path.read_text("utf-8")
    prose = re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))
    for match in LINK.finditer(prose):
        target = match[1] or match[2]
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        name, _, anchor = target.partition("#")
        other = (path.parent / name).resolve() if name else path
        if not other.exists():
            yield f"{shown(path)}: the link {target} leads to no file"
        elif anchor and other.suffix == ".md" and anchor not in anchors(other):
            yield f"{shown(path)}: the link {target} names no heading of {shown(other)}"


def anchors(path: Path) -> set[str]:
    """Return the anchors that a Markdown viewer gives the headings of a file."""
    seen: dict[str, int] = {}
    found = set()
    for line in FENCE.sub("", path.read_text("utf-8")).splitlines():
        heading = re.match(r"#{1,6} +(.+?) *#*$", line)
        if heading:
            plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])
            slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
            count = seen.get(slug, 0)
            seen[slug] = count + 1
            found.add(f"{slug}-{count}" if count else slug)
    return found


def vague_words(path: Path) -> Iterator[str]:
    """Yield a sentence for each line of a file that uses one of the words."""
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        # A sentence may begin behind an indent, a comment sign, a quote or a list mark.
        text = re.sub(r"""^[\s#"'*>-]+""", "", line)
        if line.startswith("#") and line.endswith("?"):
            continue
        for match in WORDS.finditer(text):
            yield f"{shown(path)}:{number}: name the actor instead of {match[1] or match[2]!r}"


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def files(names: list[str]) -> Iterator[Path]:
    """Yield the files to check, as given, or all of them."""
    for name in names or [".", "compat"]:
        path = (ROOT / name).resolve()
        pattern = "*.py" if path == ROOT / "compat" else "*.md"
        for one in [path] if path.is_file() else sorted(path.rglob(pattern)):
            inside = one.relative_to(ROOT).parts if one.is_relative_to(ROOT) else ()
            if not SKIPPED & set(inside) and not any(part.startswith(".venv") for part in inside):
                yield one


def main(arguments: list[str]) -> int:
    """Check the files. Returns the exit status."""
    wrong: list[str] = []
    for path in files(arguments):
        if path.suffix == ".md":
            wrong += broken_links(path)
        if path not in GENERATED:
            wrong += vague_words(path)
    print(*wrong, sep="\n" if wrong else "", file=sys.stderr, end="\n" if wrong else "")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
