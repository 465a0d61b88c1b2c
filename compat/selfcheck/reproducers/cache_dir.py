"""Inductor is imported by a process whose UID has no passwd entry.

Containers with an arbitrary UID have such processes.
"""

from __future__ import annotations

import getpass
import os
import pwd

import torch  # noqa: F401 (only Inductor reads the user name)

FIXED = (2, 13)
BARE = True


def outcome() -> str:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        os.environ.pop(name, None)

    def without_entry(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    pwd.getpwuid = without_entry  # type: ignore[assignment]
    try:
        getpass.getuser()
    except (KeyError, OSError):
        from torch._inductor import compile_fx  # noqa: F401
        from torch._inductor.codecache import default_cache_dir

        found = default_cache_dir()
        return "right" if found.endswith(f"torchinductor_uid_{os.getuid()}") else found
    return "this user has a name"
