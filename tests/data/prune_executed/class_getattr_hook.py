# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
class A:
    def __getattr__(self, n): return ask()
    def m(self):
        if self.torch_2_4: f()
A().m()
