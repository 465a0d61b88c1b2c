# --torch '>=2.10'
# right: one outcome, if the tool says so
import torch
from packaging.version import Version
def make(flag):
    def check(): return flag
    return check
def run(c): return c() and torch.__version__ >= '2.5'
A = run(make(True))
B = run(make(False))
if A: f()
if B: g()
