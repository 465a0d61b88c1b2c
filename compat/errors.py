"""The exceptions and the warning of `compat`, and the errors of Python's parser."""


class CompatError(Exception):
    """Base class of every exception that `compat` defines."""


class UnsupportedError(CompatError):
    """The mode was asked for by name, and this torch cannot have it.

    The message names the requirement that failed.
    """


class CompatWarning(UserWarning):
    """An installed shim could not be put into torch; `status()` has the error."""


# `ast.parse` raises these for text that is no Python, or that nests too deeply.
UNPARSABLE = (SyntaxError, ValueError, RecursionError, MemoryError)
