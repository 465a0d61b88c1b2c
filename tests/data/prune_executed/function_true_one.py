# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
def n(x): return (torch.__version__ >= '2.5') if x is True else torch.__version__ < '2.5'
if n(1): f()
if n(True): g()
