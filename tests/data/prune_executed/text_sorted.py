# --torch '>=2.10,<4'
# right: more than one outcome
import torch
from packaging.version import Version
if sorted([torch.__version__, '2.20'])[0] == '2.20': f()
if sorted(['3', torch.__version__.split('.')[0]])[-1] == '3': f()
