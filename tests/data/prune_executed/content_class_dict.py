# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
class K:
    flags = {'new': torch.__version__ >= '2.5'}
K.flags['new'] = ask()
if K.flags['new']: f()
