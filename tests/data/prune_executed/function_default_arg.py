# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
def n(old=torch.__version__ < '2.5'):
    if old: f()
n()
n(True)
