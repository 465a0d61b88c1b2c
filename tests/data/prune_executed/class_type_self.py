# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
class A:
    new = torch.__version__ >= '2.5'
    def off(self): type(self).new = ask()
    def m(self):
        if self.new: f()
a = A()
a.off()
a.m()
