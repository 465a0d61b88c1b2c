# --torch '>=2.10'
# right: more than one outcome
from .a import Engine
Engine().m()
from . import b
Engine().m()
