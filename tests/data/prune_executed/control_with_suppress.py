# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
from contextlib import suppress
def n():
    with suppress(ImportError):
        import nowhere_at_all
        return torch.__version__ < '2.5'
    return torch.__version__ >= '2.5'
if n(): f()
