# --torch '==2.14.0'
# right: more than one outcome
import torch
from packaging.version import Version
if torch.__version__.split('+')[0][::2] == '211.0': f()
if torch.__version__[::2] == torch.__version__: f()
