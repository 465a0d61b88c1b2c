# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
def n():
    if any((hit := x) for x in asks()):
        return not hit
    return torch.__version__ >= '2.5'
if n(): f()
