# --torch '>=2.10'
# right: more than one outcome
from .flags import FLAGS
from . import b
if FLAGS['new']: f()
