# --torch '>=2.10'
# right: always true
import torch
from packaging.version import Version
def p():
    try:
        return getattr(None, 'zz', True) and torch.__version__ >= '2.5'
    except AttributeError:
        return False
if p(): f()
