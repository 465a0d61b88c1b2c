from . import flags
for k in ('N_NEW',): setattr(flags, k, ask())
