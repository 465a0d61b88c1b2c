# --torch '==2.14.0'
# right: one outcome, if the tool says so
import torch
from packaging.version import Version
if sorted(torch.__version__.split('.')[:2]) == ['14', '2']: f()
