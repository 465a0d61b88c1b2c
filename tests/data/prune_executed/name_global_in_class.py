# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
N = torch.__version__ >= '2.5'
class A:
    global N
    N = ask()
if N: f()
