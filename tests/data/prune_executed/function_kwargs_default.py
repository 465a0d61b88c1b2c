# --torch '>=2.10'
# right: always false
import torch
from packaging.version import Version
opts = {'v': '99'}
def at_least(v='2.5', **kw): return Version(torch.__version__) >= Version(v)
if at_least(**opts): f()
