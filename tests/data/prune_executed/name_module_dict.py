# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
import sys
N = torch.__version__ >= '2.5'
sys.modules[__name__].__dict__['N'] = ask()
if N: f()
