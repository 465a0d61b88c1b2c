# --torch '>=2.10'
# right: always false
import torch
from engine_helpers.utils import Version

if Version(torch.__version__) < Version("2.4.0"):
    f()
