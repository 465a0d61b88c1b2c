# --torch '>=2.10'
# right: always true
import torch
from packaging.version import Version
from torch.torch_version import TorchVersion
if isinstance(torch.__version__, TorchVersion) and torch.__version__ >= '2.5': f()
