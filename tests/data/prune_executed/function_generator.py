# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
def n():
    yield torch.__version__ >= '2.5'
if n(): f()
