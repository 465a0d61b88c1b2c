# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
def n(x): return torch.__version__ >= '2.5' and str(x) == '2.0'
if n(2): f()
if n(2.0): g()
