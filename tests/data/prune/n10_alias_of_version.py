# --torch '>=2.10'
# right: always false
import re
import torch
from packaging.version import Version as V
import torch.fx

v = V(re.match(r"[0-9]+\.[0-9]+", torch.__version__).group(0))


def old():
    if V(torch.__version__) < V("2.5"):
        f()


if v <= V("2.1.0"):
    g()
