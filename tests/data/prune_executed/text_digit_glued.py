# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
v = Version(torch.__version__)
if Version(f'1{v.minor}') >= Version('200'): f()
