import torch
N_NEW = torch.__version__ >= '2.5'
def use():
    if N_NEW: f()
