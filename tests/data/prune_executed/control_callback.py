# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
N = ask()
def show():
    if N: f()
def call(x): x()
call(show)
N = torch.__version__ >= '2.5'
