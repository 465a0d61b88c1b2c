# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
def fill(d): d['new'] = ask()
class K:
    flags = {'new': torch.__version__ >= '2.5'}
fill(K.flags)
if K.flags['new']: f()
