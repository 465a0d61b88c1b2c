from packaging.version import Version
from .a import Engine
Engine.version = Version('1.0')
