import torch
N_NEW = torch.__version__ >= '2.5'
