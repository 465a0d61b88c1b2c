# --torch '>=2.10'
# right: more than one outcome
from .flags import N_NEW
N_NEW = N_NEW and ask()
if N_NEW: f()
