# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
class A:
    def show(self):
        if N: f()
N = ask()
a = A()
a.show()
N = torch.__version__ >= '2.5'
