# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
N = torch.__version__ >= '2.5'
for i, N in [(1, ask())]: pass
if N: f()
