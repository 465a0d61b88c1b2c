# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
def n():
    try:
        import nowhere_at_all
    except ImportError:
        pass
    else:
        return torch.__version__ < '2.5'
    return torch.__version__ >= '2.5'
if n(): f()
