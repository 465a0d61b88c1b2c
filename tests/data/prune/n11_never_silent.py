# --torch '>=2.10'
# right: not understood
import torch
from elsewhere import compare, patched

torch = patched(torch)
if compare(torch.__version__) < compare("2.5"):
    f()


def old():
    if torch.nn.ModuleList.__name__ == "Patched":
        return
    if compare(torch.__version__) < 2:
        f()
