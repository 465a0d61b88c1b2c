"""`operator_str` makes the text of a log line only when it is read."""

from __future__ import annotations

from helpers.this_torch import RELEASE

import compat


def test_deferred_text_equals_text_of_torch() -> None:
    from torch._inductor.exc import LoweringException, OperatorIssue

    own = OperatorIssue.operator_str(len, [[1]], {"key": 2})
    compat.install("operator_str", mode="backport" if RELEASE < (2, 13) else "native")
    made = OperatorIssue.operator_str(len, [[1]], {"key": 2})
    error = LoweringException(ValueError("no"), len, [[1]], {"key": 2})
    compat.uninstall("operator_str")
    assert str(made) == own
    assert isinstance(made, str) == (RELEASE >= (2, 13))
    assert own in str(error)
