# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
def make(flag):
    def check(): return flag and torch.__version__ >= '2.5'
    return check
c = make(True) if ask() else make(False)
if c(): f()
