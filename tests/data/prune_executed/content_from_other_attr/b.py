from . import flags
flags.FLAGS['new'] = ask()
