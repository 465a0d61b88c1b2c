# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
def n():
    try:
        try:
            import nowhere_at_all
        finally:
            k = 1
    except ImportError:
        return False
    return torch.__version__ >= '2.5'
if n(): f()
