# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
class cm:
    def __enter__(self): return self
    def __exit__(self, *e): ...
def use(x): return cm()
N = torch.__version__ >= '2.5'
with use(N := ask()):
    if N: g()
