from .helper import *

if at_least("2.5"):
    f()
