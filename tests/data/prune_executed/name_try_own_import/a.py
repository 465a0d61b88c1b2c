import nowhere_at_all
import torch
N_NEW = torch.__version__ >= '2.5'
