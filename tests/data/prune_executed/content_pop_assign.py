# --torch '>=2.10'
# right: one outcome, if the tool says so
import torch
from packaging.version import Version
def n():
    p = torch.__version__.split('.')[:2]
    last = p.pop()
    return len(p) == 2
if n(): f()
