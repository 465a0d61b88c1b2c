# --torch '>=2.10'
# right: always true
import torch
from packaging.version import Version
N = torch.__version__ >= '2.5'
x = [N for N in (True, False) if N]
if N: f()
