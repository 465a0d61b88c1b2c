# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
def opts(): return {'v': '99'} if ask() else {}
def at_least(v='2.5', **kw): return Version(torch.__version__) >= Version(v)
if at_least(**opts()): f()
