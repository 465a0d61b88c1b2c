# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
def n():
    try:
        raise ValueError if ask() else KeyError
    except KeyError:
        return False
    except ValueError:
        return torch.__version__ >= '2.5'
if n(): f()
