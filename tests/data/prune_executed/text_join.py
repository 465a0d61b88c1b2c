# --torch '==2.14.*'
# right: always true
import torch
from packaging.version import Version
if ''.join(torch.__version__.split('.')[:2]) >= '213': f()
