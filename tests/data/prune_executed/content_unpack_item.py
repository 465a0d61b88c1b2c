# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
def n():
    d = {'new': torch.__version__ >= '2.5'}
    d['new'], x = ask(), 1
    return d['new']
if n(): f()
