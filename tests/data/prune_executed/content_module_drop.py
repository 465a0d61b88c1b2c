# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
def drop(p):
    p['new'] = ask()
    return p
D = {'new': torch.__version__ >= '2.5'}
E = drop(D)
if D['new']: f()
