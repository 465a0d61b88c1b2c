# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
def load(ns): ns['N'] = ask()
N = torch.__version__ >= '2.5'
load(globals())
if N: f()
