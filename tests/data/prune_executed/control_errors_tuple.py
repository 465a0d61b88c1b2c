# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
ERRORS = (ImportError, IndexError)
def n():
    try:
        if ask(): raise IndexError('x')
    except ERRORS:
        return False
    return torch.__version__ >= '2.5'
if n(): f()
