# --torch '==2.14.0'
# right: more than one outcome
import torch
from packaging.version import Version
if torch.__version__[-1] == '0': f()
