# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
N = torch.__version__ >= '2.5'
k = 0
while N:
    N = ask()
    if (k := k + 1) > 5: break
