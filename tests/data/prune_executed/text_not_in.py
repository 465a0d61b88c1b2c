# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
if torch.__version__ not in ('2.10.0', '2.11.0'): f()
