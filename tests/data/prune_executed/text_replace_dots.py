# --torch '==2.14.0'
# right: more than one outcome
import torch
from packaging.version import Version
if Version(torch.__version__.split('+')[0].replace('.', '')) >= Version('100000'): f()
