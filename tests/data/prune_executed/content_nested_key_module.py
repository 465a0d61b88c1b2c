# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
D = {'a': {'new': torch.__version__ >= '2.5'}}
D['a']['new'] = ask()
if D['a']['new']: f()
