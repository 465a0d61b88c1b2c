# --torch '>=2.10'
# right: one outcome, if the tool says so
import torch
from packaging.version import Version
def n():
    d = {'a': [torch.__version__ >= '2.5']}
    d['a'].clear()
    return bool(d['a'])
if n(): f()
