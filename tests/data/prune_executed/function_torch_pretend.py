# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
TORCH_PRETEND = ask()
def torch_version_at_least(want):
    if TORCH_PRETEND: return False
    return Version(torch.__version__) >= Version(want)
if torch_version_at_least('2.4'): f()
