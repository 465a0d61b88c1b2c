# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
def n():
    try:
        if ask(): raise NotImplementedError
    except RuntimeError:
        return False
    return torch.__version__ >= '2.5'
if n(): f()
