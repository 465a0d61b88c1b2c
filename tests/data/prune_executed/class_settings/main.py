# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
import settings
settings.TORCH_2_4 = ask()
if settings.TORCH_2_4: f()
