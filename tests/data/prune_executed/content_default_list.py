# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
def n(seen=[]):
    seen.append(torch.__version__)
    return len(seen) > 1
for i in (1, 2):
    if n(): f()
