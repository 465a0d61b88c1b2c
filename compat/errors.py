"""What `compat` raises of its own. Wrong words and unknown names are plain `ValueError`."""


class CompatError(Exception):
    """Base of every error that `compat` defines."""


class UnsupportedError(CompatError):
    """A mode was asked for by name and this torch cannot have it; the message names the requirement that failed."""


# What `ast.parse` raises for text that is no Python; or that is some, but too deep for its parser.
UNPARSABLE = (SyntaxError, ValueError, RecursionError, MemoryError)
