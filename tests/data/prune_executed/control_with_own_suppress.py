# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
class quiet:
    def __enter__(self): return self
    def __exit__(self, *e): return True
N = False
with quiet():
    import nowhere_at_all
    N = torch.__version__ >= '2.5'
if N: f()
