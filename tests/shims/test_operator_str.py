"""`operator_str`: the text for the log line is made when somebody reads it."""

from __future__ import annotations

from helpers.this_torch import RELEASE

import compat


def test_the_text_is_torchs_own_once_it_is_read() -> None:
    from torch._inductor.exc import LoweringException, OperatorIssue

    own = OperatorIssue.operator_str(len, [[1]], {"key": 2})
    compat.install("operator_str", mode="backport" if RELEASE < (2, 13) else "native")
    made = OperatorIssue.operator_str(len, [[1]], {"key": 2})
    error = LoweringException(ValueError("no"), len, [[1]], {"key": 2})
    compat.uninstall("operator_str")
    assert str(made) == own
    assert isinstance(made, str) == (RELEASE >= (2, 13))
    assert own in str(error)
