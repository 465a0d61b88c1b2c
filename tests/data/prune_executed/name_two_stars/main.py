# --torch '>=2.10'
# right: always false
from .a import *
from .b import *
if N_NEW: f()
