# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
class Fake: __version__ = Version('1.0')
def n(torch):
    if torch.__version__ >= Version('2.5'): f()
n(Fake)
