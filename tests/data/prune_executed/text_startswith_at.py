# --torch '==2.14.0'
# right: one outcome, if the tool says so
import torch
from packaging.version import Version
if torch.__version__.startswith('14', 2): f()
