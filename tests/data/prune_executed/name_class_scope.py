# --torch '>=2.10'
# right: always false
import torch
from packaging.version import Version
N = torch.__version__ < '2.5'
class A:
    N = torch.__version__ >= '2.5'
    def m(self):
        if N: f()
A().m()
