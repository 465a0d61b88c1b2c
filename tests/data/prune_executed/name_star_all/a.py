import torch
__all__ = []
N_NEW = torch.__version__ >= '2.5'
