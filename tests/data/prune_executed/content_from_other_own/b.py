from .flags import FLAGS
FLAGS.update(new=ask())
