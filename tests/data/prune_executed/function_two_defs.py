# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
def torch_version_at_least(want): return True
if ask():
    def torch_version_at_least(want): return False
if torch_version_at_least('2.4'): f()
