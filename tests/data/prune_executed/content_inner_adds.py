# --torch '>=2.10'
# right: one outcome, if the tool says so
import torch
from packaging.version import Version
def n():
    p = [torch.__version__ >= '2.5']
    def add(): p.clear()
    add()
    return bool(p)
if n(): f()
