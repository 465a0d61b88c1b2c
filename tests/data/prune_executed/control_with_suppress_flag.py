# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
from contextlib import suppress
N = False
with suppress(ImportError):
    import nowhere_at_all
    N = torch.__version__ >= '2.5'
if N: f()
