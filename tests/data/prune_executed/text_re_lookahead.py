# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
import re
if re.match(r'[\d.]+(?!.*debug)', torch.__version__): f()
