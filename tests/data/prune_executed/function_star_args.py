# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
def at_least(v='2.5', *a): return Version(torch.__version__) >= Version(v)
def some(): return ['99'] if ask() else []
if at_least(*some()): f()
