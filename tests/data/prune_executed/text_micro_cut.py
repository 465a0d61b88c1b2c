# --torch '==2.14.0'
# right: always true
import torch
from packaging.version import Version
if torch.__version__[5:6] == '0': f()
