from packaging.version import Version
TORCH_2_14 = Version('2.14')
