# --torch '==2.14.0'
# right: always true
import torch
from packaging.version import Version
if (' ' + torch.__version__).strip().startswith('2'): f()
if ('V' + torch.__version__).lower().startswith('v2'): f()
