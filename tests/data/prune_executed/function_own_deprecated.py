# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
def deprecated(fn): return lambda: ask() and fn()
@deprecated
def new(): return torch.__version__ >= '2.5'
if new(): f()
