"""`python -m compat prune`: what a range of torch versions makes superfluous."""

from .command import add_arguments, run

__all__ = ["add_arguments", "run"]
