# --torch '>=2.10'
# right: always true
import torch
from packaging.version import Version
def o():
    def i(): return new
    new = torch.__version__ >= '2.5'
    return i()
try:
    R = o()
except NameError:
    R = False
if R: f()
