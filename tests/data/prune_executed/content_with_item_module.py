# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
import contextlib
D = {'new': torch.__version__ >= '2.5'}
with contextlib.nullcontext(ask()) as D['new']:
    pass
if D['new']: f()
