# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
class A:
    def __init__(self): self.new = torch.__version__ >= '2.5'
    def m(self):
        if self.new: f()
def configure(a, **kw):
    for k, v in kw.items(): setattr(a, k, v)
    return a
configure(A(), new=ask()).m()
