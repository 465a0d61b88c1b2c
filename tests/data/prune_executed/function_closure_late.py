# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
def o():
    new = torch.__version__ >= '2.5'
    def i(): return new
    new = ask()
    return i()
if o(): f()
