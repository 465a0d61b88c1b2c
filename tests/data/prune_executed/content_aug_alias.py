# --torch '>=2.10'
# right: one outcome, if the tool says so
import torch
from packaging.version import Version
def n():
    a = []
    b = a
    a += [torch.__version__ >= '2.5']
    return len(b) == 0
if n(): f()
