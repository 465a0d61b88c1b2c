# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
def n():
    try:
        if ask(): raise ValueError
    except* ValueError:
        k = 1
    else:
        k = 0
    return not k
if n() and torch.__version__ >= '2.5': f()
