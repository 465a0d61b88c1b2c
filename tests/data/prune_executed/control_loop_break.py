# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
def n():
    for x in (1, 2):
        if ask(): break
    else:
        return torch.__version__ >= '2.5'
    return False
if n(): f()
