# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
def at_once(x):
    x()
    return x
N = ask()
@at_once
def show():
    if N: f()
N = torch.__version__ >= '2.5'
