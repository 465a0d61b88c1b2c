# --torch '>=2.10'
# right: always true
import torch
from packaging.version import parse

NEW = torch.__version__ >= (2, 4)


def at_least(version):
    return parse(torch.__version__) >= parse(version)
