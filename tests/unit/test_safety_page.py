"""Every test that docs/safety.md names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (ROOT / "docs" / "safety.md").read_text("utf-8"))))


@pytest.mark.parametrize(("file", "test"), _NAMED)
def test_a_test_that_is_named_exists(file, test):
    assert f"def {test}" in (ROOT / file).read_text("utf-8")


def test_tests_are_named():
    assert len(_NAMED) > 20
