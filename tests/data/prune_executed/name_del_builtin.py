# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
any = lambda x: ask()
if any([torch.__version__ >= '2.5']): f()
