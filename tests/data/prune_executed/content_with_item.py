# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
import contextlib
def n():
    d = {'new': torch.__version__ >= '2.5'}
    with contextlib.nullcontext(ask()) as d['new']:
        pass
    return d['new']
if n(): f()
