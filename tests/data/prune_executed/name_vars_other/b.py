from . import flags
vars(flags)['N_NEW'] = ask()
