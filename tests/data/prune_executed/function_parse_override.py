# --torch '>=2.10'
# right: more than one outcome
import torch
from packaging.version import Version
import os
def parse_override(v): return Version('1.0') if ask() else Version(v)
def torch_version_at_least(want):
    return parse_override(torch.__version__) >= Version(want)
if torch_version_at_least('2.4'): f()
