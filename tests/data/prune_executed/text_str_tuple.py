# --torch '==2.14.0'
# right: one outcome, if the tool says so
import torch
from packaging.version import Version
if str([int(x) for x in torch.__version__.split('.')[:2]]) == '[2, 14]': f()
try:
    A = str((2, int(torch.__version__.split('.')[1]))) == '(2, 14)'
except AttributeError:
    A = False
if A: f()
