# --torch '>=2.10'
# right: more than one outcome
from . import flags
flags.off()
if flags.N_NEW: f()
