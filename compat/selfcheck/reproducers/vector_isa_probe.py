"""Asks for one kind of vectors in two fresh cache folders, and counts compiles."""

from __future__ import annotations

import os
import tempfile
from typing import Any
from unittest import mock

from torch._inductor import codecache, cpp_builder, cpu_vec_isa  # noqa: F401


def outcome() -> str:
    known = cpu_vec_isa.supported_vec_isa_list
    isa = next((isa for isa in known if type(isa).__name__ == "VecAVX2"), known[0])
    builds = []
    build = cpp_builder.CppBuilder.build

    def counting(builder: Any) -> Any:
        builds.append(builder)
        return build(builder)

    answers = []
    with tempfile.TemporaryDirectory() as folder:
        for name in ("first", "second"):
            variables = {
                "XDG_CACHE_HOME": os.path.join(folder, "user"),
                "TORCHINDUCTOR_CACHE_DIR": os.path.join(folder, name),
            }
            with (
                mock.patch.dict(os.environ, variables),
                mock.patch.object(cpp_builder.CppBuilder, "build", counting),
            ):
                # The shortest of the programs that torch tries. It needs no header.
                answers.append(isa.check_build('extern "C" int f() { return 1; }'))
    if answers != [True, True]:
        return f"the probe says {answers}"
    return "right" if len(builds) == 1 else f"{len(builds)} compiles in two folders"
