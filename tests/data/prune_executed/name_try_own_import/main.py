# --torch '>=2.10'
# right: more than one outcome
try:
    from .a import N_NEW
except ImportError:
    N_NEW = False
if N_NEW: f()
