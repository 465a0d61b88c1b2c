# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
def cache(fn):
    def w(*a): return ask()
    return w
@cache
def new(): return torch.__version__ >= '2.5'
if new(): f()
