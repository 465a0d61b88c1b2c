# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
import sys
N = torch.__version__ >= '2.5'
def off(): sys._getframe(1).f_globals['N'] = ask()
off()
if N: f()
