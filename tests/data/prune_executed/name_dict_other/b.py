from . import flags
flags.__dict__.update(N_NEW=ask())
