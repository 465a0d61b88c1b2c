# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
import functools
def at_least(v, strict=False): return ask() if strict else Version(torch.__version__) >= Version(v)
n = functools.partial(at_least, strict=True)
if n('2.5'): f()
