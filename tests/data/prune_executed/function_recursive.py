# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
def n(k=3): return ask() if k == 0 else n(k - 1) and torch.__version__ >= '2.5'
if n(): f()
