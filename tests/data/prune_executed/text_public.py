# --torch '==2.14.0'
# right: always true
import torch
from packaging.version import Version
if Version(torch.__version__).public == '2.14.0': f()
