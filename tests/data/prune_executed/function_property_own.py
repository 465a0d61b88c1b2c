# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
class property:
    def __init__(self, fn): self.fn = fn
    def __get__(self, *a): return ask()
class A:
    @property
    def new(self): return torch.__version__ >= '2.5'
    def m(self):
        if self.new: f()
A().m()
