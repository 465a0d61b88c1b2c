# --torch '>=2.10'
# right: always false
import torch
from packaging.version import Version
class A:
    def __init__(self):
        self.old, self.x = torch.__version__ < '2.5', 1
    def m(self):
        if self.old: f()
A().m()
