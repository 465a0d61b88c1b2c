# --torch '>=2.10'
# right: more than one outcome
from . import b
from .flags import use
use()
