# --torch '==2.14.*'
# right: always true
import torch
from packaging.version import Version
if Version(torch.__version__).release[:2] == (2, 14): f()
