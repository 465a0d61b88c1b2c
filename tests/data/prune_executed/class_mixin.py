# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
class A:
    new = torch.__version__ >= '2.5'
    def m(self):
        if self.new: f()
class Mix:
    new = False
class B(Mix, A): ...
A().m()
B().m()
