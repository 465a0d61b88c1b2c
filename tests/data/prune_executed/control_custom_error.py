# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
class TooOld(ValueError): ...
def n():
    try:
        if ask(): raise TooOld
    except ValueError:
        return False
    return torch.__version__ >= '2.5'
if n(): f()
