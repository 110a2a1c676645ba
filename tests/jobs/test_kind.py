"""Every kind: found by its file, documented, strict about what it is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidemill import errors
from tidemill.jobs import kind

DOCS = (Path(__file__).parents[2] / "docs" / "jobs.md").read_text()


@pytest.mark.parametrize("name", kind.names())
def test_a_kind_keeps_its_contract(name: str) -> None:
    found = kind.load(name)
    assert found.summary
    assert found.memory_bytes >= 0
    with pytest.raises(errors.UsageError) as refused:
        found.check({"no_such_field": 1, "kind": "bars", "instrument": "x"})
    assert refused.value.code == "detail_unfit"
    assert f"| `{name}` |" in DOCS


@pytest.mark.parametrize("name", ["", "api", "__init__", "../tidy", "tidy.py", "Tidy", "os"])
def test_no_other_file_is_a_kind(name: str) -> None:
    with pytest.raises(errors.NotFoundError):
        kind.load(name)
