# --torch '>=2.10'
# right: one outcome, if the tool says so
import torch
from packaging.version import Version
def drop(p):
    p.clear()
    return True
def n():
    p = [torch.__version__ >= '2.5']
    ok = drop(p)
    return bool(p)
if n(): f()
