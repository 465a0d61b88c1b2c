# --torch '==2.14.0'
# right: always true
import torch
from packaging.version import Version
if f' torch {torch.__version__}'.split()[1].startswith('2'): f()
