# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
N = torch.__version__ >= '2.5'
try:
    int('x')
except ValueError as N:
    pass
try:
    if N: f()
except NameError: pass
