# --torch '>=2.10'
# right: one outcome, if the tool says so
import torch
from packaging.version import Version
def n():
    p = torch.__version__.split('.')[:2]
    if p.pop() and len(p) == 2: return True
    return False
if n(): f()
