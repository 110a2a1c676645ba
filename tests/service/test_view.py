"""The view of stored data: what cannot be read is one kind of error, and health tells of it for a while."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake.exceptions import DeltaError

from tidemill.cache import Shared
from tidemill.errors import DataQualityError, NotFoundError, TidemillError
from tidemill.home import Home
from tidemill.service import view
from tidemill.service.view import View


@pytest.fixture
def sight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> View:
    found = View(Home.at(tmp_path), Shared(None, ""))
    monkeypatch.setattr(found, "_made", lambda: None)
    return found


def fail(error: Exception) -> Any:
    raise error


@pytest.mark.parametrize(
    "error",
    [
        pa.ArrowInvalid("/x/bars.parquet: magic bytes not found in footer"),
        DeltaError("/x/bars.parquet: no such version"),
        OSError("/x/bars.parquet: Input/output error"),
        RuntimeError("/x/bars.parquet: torn"),
        DataQualityError("data_unreadable", "/x/bars.parquet cannot be read", http_status=503),
    ],
)
def test_whatever_cannot_be_read_is_a_503_that_names_the_file(
    sight: View, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TidemillError) as told:
        sight.call(lambda live: fail(error))
    assert (told.value.code, told.value.http_status) == ("data_unreadable", 503)
    assert "/x/bars.parquet" in told.value.message
    assert sight.trouble == told.value.message
    monkeypatch.setattr(view, "TROUBLE_S", 0.0)
    assert sight.trouble is None


@pytest.mark.parametrize("error", [NotFoundError("venue_unknown", "no venue"), ValueError("a bug")])
def test_anything_else_is_no_trouble_of_the_data(sight: View, error: Exception) -> None:
    with pytest.raises(type(error)):
        sight.call(lambda live: fail(error))
    assert sight.trouble is None
