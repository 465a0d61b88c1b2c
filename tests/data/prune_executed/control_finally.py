# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
def n():
    try:
        return torch.__version__ >= '2.5'
    finally:
        if ask(): return False
if n(): f()
