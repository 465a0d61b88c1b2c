# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
if Version(torch.__version__).dev: f()
