# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
import re
if re.search('DEV', torch.__version__, flags=re.I): f()
