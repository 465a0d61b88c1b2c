import torch
from packaging.version import Version
class Engine:
    version = Version(torch.__version__)
    def m(self):
        if self.version >= Version('2.5'): f()
