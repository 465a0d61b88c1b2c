# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
def n():
    try:
        import nowhere_at_all
    except ImportError as e:
        return 'zzz' in str(e)
    return torch.__version__ >= '2.5'
if n(): f()
