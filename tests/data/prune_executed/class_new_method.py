# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
class A:
    new = torch.__version__ >= '2.5'
    def __new__(cls): return type('B', (), {'new': ask()})()
if A().new: f()
