"""`python -m compat demo`: compare a transformer with and without `lazy_graph_module` and `realize_on_reuse`."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command. Does not import torch."""
    parser.add_argument(
        "--layers", type=int, default=28, metavar="N", help="number of transformer layers (default: %(default)s)"
    )


def run(layers: int) -> int:
    """Run the command.

    Returns:
        0, or 1 if the two ways compute different results.

    Raises:
        ValueError: `layers` is less than 1.
        ModuleNotFoundError: torch or a package that the demo needs is not installed.
    """
    from .demo import compare  # imports torch

    return compare(layers)
