# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
class A:
    def __init__(self): self.cfg = {}
    new = torch.__version__ >= '2.5'
    def __getattribute__(self, n): return ask()
if A().new: f()
