# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
def n():
    d = {'a': {'new': torch.__version__ >= '2.5'}}
    d['a']['new'] = ask()
    return d['a']['new']
if n(): f()
