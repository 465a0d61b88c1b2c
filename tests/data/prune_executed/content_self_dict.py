# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
class K:
    flags = {'new': torch.__version__ >= '2.5'}
    def off(self): self.flags['new'] = ask()
    def m(self):
        if self.flags['new']: f()
k = K()
k.off()
k.m()
