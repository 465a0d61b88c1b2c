# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
try:
    N = int('a') if ask() else torch.__version__ >= '2.5'
except ValueError:
    N = False
if N: f()
