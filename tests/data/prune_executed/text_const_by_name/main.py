# --torch '==2.14.0'
# right: more than one outcome
import torch
from packaging.version import Version
from consts import TORCH_2_14
if Version(torch.__version__.split('+')[0]) == TORCH_2_14: f()
