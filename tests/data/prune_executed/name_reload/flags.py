import torch
N_NEW = torch.__version__ >= '2.5'
def off():
    global N_NEW
    N_NEW = ask()
