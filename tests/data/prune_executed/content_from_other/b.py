from .flags import FLAGS
FLAGS['new'] = ask()
