# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
if int(''.join(torch.__version__.split('.')[:2])) >= 213: f()
