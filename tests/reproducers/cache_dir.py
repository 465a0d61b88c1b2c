"""A process whose UID has no passwd entry, as in a container that runs under an arbitrary one, imports Inductor."""

from __future__ import annotations

import getpass
import os
import pwd

import torch  # noqa: F401 (Inductor alone asks who the user is)

BARE = True


def outcome() -> str:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        os.environ.pop(name, None)

    def nobody(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    pwd.getpwuid = nobody
    try:
        getpass.getuser()
    except (KeyError, OSError):
        from torch._inductor import compile_fx  # noqa: F401
        from torch._inductor.codecache import default_cache_dir

        found = default_cache_dir()
        return "right" if found.endswith(f"torchinductor_uid_{os.getuid()}") else found
    return "the user has a name after all"
