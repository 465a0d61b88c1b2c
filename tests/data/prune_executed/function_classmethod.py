# --torch '>=2.10'
# right: always true
import torch
from packaging.version import Version
class A:
    @classmethod
    def new(cls): return torch.__version__ >= '2.5'
try:
    N = A.new()
except TypeError:
    N = False
if N: f()
