"""What `compat` raises of its own. Wrong words and unknown names are plain `ValueError`."""


class CompatError(Exception):
    """Base of every error that `compat` defines."""


class UnsupportedError(CompatError):
    """A mode was asked for by name and this torch cannot have it; the message names the requirement that failed."""
