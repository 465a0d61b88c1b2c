# --torch '>=2.10'
# right: always true
import torch


def numbers(version=torch.__version__):
    return tuple(int(part) for part in version.split(".")[:2])


if numbers() >= (1, 8):
    f()
