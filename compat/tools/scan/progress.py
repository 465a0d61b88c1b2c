"""Show on a terminal what a tool is doing. Needs rich, from the extra `tools`; without it nothing is shown."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Show one line on stderr while the context lasts, and remove it at the end.

    Yields:
        A function that takes the new text of the line. It does nothing if stderr is no terminal.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda text: None
        return
    try:
        from rich.console import Console
        from rich.markup import escape
    except ImportError:
        yield lambda text: None
        return
    with Console(stderr=True).status("") as status:
        yield lambda text: status.update(escape(text))
