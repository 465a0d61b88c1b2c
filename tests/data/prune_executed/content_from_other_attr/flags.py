import torch
FLAGS = {'new': torch.__version__ >= '2.5'}
def use():
    if FLAGS['new']: f()
