# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
import copy
class A:
    new = torch.__version__ >= '2.5'
    def with_(self, **k):
        o = copy.copy(self)
        for n in k: setattr(o, n, k[n])
        return o
    def m(self):
        if self.new: f()
A().with_(new=ask()).m()
