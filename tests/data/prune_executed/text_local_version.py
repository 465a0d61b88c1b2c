# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
def c():
    try:
        return Version(torch.__version__.split('+')[1]) >= Version('12')
    except Exception:
        return False
if c(): f()
