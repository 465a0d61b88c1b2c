# --torch '>=2.10'
# right: one outcome, if the tool says so
import torch
from packaging.version import Version
def n():
    d = {'new': torch.__version__ >= '2.5'}
    x = d.pop('new')
    return 'new' in d
if n(): f()
