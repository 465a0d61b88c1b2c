# --torch '>=2.10'
# right: more than one outcome
from . import b, flags
flags.use()
