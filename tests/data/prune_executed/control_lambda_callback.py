# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
def call(x): return x()
N = ask()
call(lambda: f() if N else g())
N = torch.__version__ >= '2.5'
