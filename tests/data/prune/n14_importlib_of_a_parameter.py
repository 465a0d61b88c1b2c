# --torch '>=2.10'
# right: always true
import importlib
import operator

import torch
from packaging.version import Version


def compare(package, op, target):
    try:
        module = importlib.import_module(package)
    except ImportError:
        return False
    return op(Version(module.__version__), Version(target))


if compare("torch", operator.ge, "2.4.0"):
    f()
