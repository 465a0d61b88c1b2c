# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
import torch as t
t.__version__ = '1.0' if ask() else '2.10'
if torch.__version__ >= '2.5': f()
