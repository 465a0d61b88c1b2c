# --torch '>=2.10'
# right: always false
from .b import *
from .a import *
if N_NEW: f()
