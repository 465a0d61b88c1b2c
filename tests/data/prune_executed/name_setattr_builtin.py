# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
import sys
N = torch.__version__ >= '2.5'
me = sys.modules[__name__]
for k in ('N',): setattr(me, k, ask())
if N: f()
