"""User passes whose cache key, their `uuid()`, raises when it is pickled."""

from __future__ import annotations

import torch

from ..quick import compile_quickly

FIXED = (2, 11)


class Key:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def __reduce__(self) -> str:
        raise self.error


def outcome() -> str:
    from torch._inductor import codecache, config
    from torch._inductor.custom_graph_pass import CustomGraphPass

    errors = (
        ValueError("unsupported layout"),
        codecache.pickle.PicklingError("no"),
        RuntimeError(
            "<pybind11_builtins.pybind11_object object at 0x0> is not pickleable."
        ),
        TypeError("no"),
    )

    class Pass(CustomGraphPass):
        def __init__(self, error: Exception) -> None:
            self.error = error

        def __call__(self, graph: torch.fx.Graph) -> None:
            pass

        def uuid(self) -> Key:
            return Key(self.error)

    failed = []
    for error in errors:
        torch._dynamo.reset()
        with compile_quickly(), config.patch(post_grad_custom_pre_pass=Pass(error)):
            try:
                result = torch.compile(lambda x: x @ x, fullgraph=True)(
                    torch.ones(2, 2)
                )
            except Exception as raised:
                if str(error) not in str(raised):
                    raise
                failed.append(type(error).__name__)
            else:
                assert result.tolist() == [[2.0] * 2] * 2
    return f"compile fails with {', '.join(failed)}" if failed else "right"
