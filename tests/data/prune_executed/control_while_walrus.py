# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
N = torch.__version__ >= '2.5'
k = 0
while (N := ask()) or k < 3:
    k += 1
    if N: g()
    if k > 9: break
