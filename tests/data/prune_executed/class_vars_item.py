# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
class A:
    def __init__(self, k):
        self.new = torch.__version__ >= '2.5'
        vars(self)['new'] = k
    def m(self):
        if self.new: f()
A(ask()).m()
