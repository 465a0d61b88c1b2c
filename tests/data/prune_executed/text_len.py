# --torch '==2.14.*'
# right: more than one outcome
import torch
from packaging.version import Version
if len(torch.__version__) >= 6: f()
if len(torch.__version__) == 6: f()
