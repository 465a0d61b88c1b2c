# --torch '>=2.10'
# right: one outcome, if the tool says so
import torch
from packaging.version import Version
def n():
    p = torch.__version__.split('.')[:2]
    del p[-1]
    return len(p) == 2
if n(): f()
