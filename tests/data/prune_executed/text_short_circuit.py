# --torch '>=2.10'
# right: one outcome, if the tool says so
import torch
from packaging.version import Version
try:
    A = any(int(x) >= 2 for x in (torch.__version__.split('.')[0], 'x'))
except ValueError:
    A = False
if A: f()
