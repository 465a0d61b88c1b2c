# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
import contextlib
class A:
    def __init__(self):
        self.new = torch.__version__ >= '2.5'
        with contextlib.nullcontext(ask()) as self.new: pass
    def m(self):
        if self.new: f()
A().m()
