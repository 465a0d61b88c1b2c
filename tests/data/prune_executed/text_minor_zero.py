# --torch '==2.14.0'
# right: always true
import torch
from packaging.version import Version
v = Version(torch.__version__)
if f'{v.minor}0' == '140': f()
