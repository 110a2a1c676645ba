"""A file as a job: kept once, whoever dies in between; exported, it is the same file again."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.jobs.conftest import Office, until
from tidemill.errors import DataQualityError, NotFoundError
from tidemill.home import Home
from tidemill.importer import bound, piece, upload
from tidemill.importer import preview as previews
from tidemill.jobs import kind
from tidemill.jobs.kind.api import Stopped
from tidemill.metadata import imported
from tidemill.stores import export
from tidemill.stores.api import Query
from tidemill.stores.live import LiveView
from tidemill.stores.table import BARS, TRADES

START = 1_700_000_000


def trades_file(folder: Path, rows: int, step_ms: int = 20) -> Path:
    path = folder / "BTC-USD.csv"
    with path.open("w") as file:
        file.write("time,price,size,side,id\n")
        for at in range(rows):
            side = ("buy", "sell", "")[at % 3]
            file.write(
                f"{START * 1000 + at * step_ms},{60000 + at % 977}.{at % 100:02},"
                f"0.{at % 89 + 1:08},{side},{at}\n"
            )
    return path


def ask(home: Home, path: Path, **changes: Any) -> dict[str, Any]:
    """The detail of an import of a file as it is guessed."""
    entry = upload.refer(home, path)
    seen = previews.preview(entry.path, entry.name, 2 * START * 10**9, changes=changes)
    assert seen["recipe"] is not None, seen
    return {"upload": entry.id, "recipe": seen["recipe"]}


class Here:
    """A context whose work is done by the test's own process; it may die at its nth checkpoint."""

    job_id = "test"

    def __init__(self, home: Home, resumed: Any = None, dies_at: int = 0) -> None:
        self.home, self.resumed = home, resumed
        self.kept: list[Any] = []
        self._dies_at = dies_at

    def progress(
        self, done: int, total: int | None = None, unit: str | None = None, note: str | None = None
    ) -> None:
        pass

    def checkpoint(self, value: Any) -> None:
        if len(self.kept) + 1 == self._dies_at:
            raise Stopped
        self.kept.append(json.loads(json.dumps(value)))

    def log(self, text: str, level: str = "info") -> None:
        pass

    def cancelled(self) -> bool:
        return False


def done(home: Home, detail: dict[str, Any], context: Here | None = None) -> dict[str, Any]:
    """What comes of the import."""
    work = kind.load("import")
    return work.run(context or Here(home), work.check(detail))


def digest(home: Home, *tables: Any) -> str:
    """Of all rows but for when they came."""
    view = LiveView(home.path, follow=False)
    found = hashlib.sha256()
    for table in tables:
        order = ("interval", "ts_event", "revision") if table is BARS else ("ts_event", "sequence")
        rows = view.store.read(table, Query(revisions=True)).drop_columns(["ts_recv"])
        rows = rows.sort_by([(name, "ascending") for name in order]).combine_chunks()
        with pa.BufferOutputStream() as sink:
            with pa.ipc.new_stream(sink, rows.schema) as writer:
                writer.write_table(rows)
            found.update(sink.getvalue())
    view.close()
    return found.hexdigest()


def test_a_file_is_kept_once_and_comes_out_as_it_went_in(home: Home, tmp_path: Path) -> None:
    home.create()
    path = trades_file(tmp_path, 2_000)
    first = done(home, ask(home, path))
    assert (first["rows"], first["new"], first["bad"]) == (2_000, 2_000, 0)
    before = digest(home, TRADES, BARS)

    again = done(home, ask(home, path))
    assert (again["already"], again["new"], again["rows"]) == (True, 0, 2_000)
    copied = tmp_path / "copy.csv"
    copied.write_bytes(path.read_bytes() + b"\n")
    twin = done(home, ask(home, copied, instrument="BTC-USD.import"))
    assert not twin["already"], "other bytes are another file"
    assert digest(home, TRADES, BARS) == before, "whose trades are the same ones"

    view = LiveView(home.path, follow=False)
    out = tmp_path / "out.csv"
    export.write(
        export.pieces(view, "trades", "import", "BTC-USD.import", "1m", None, None), "csv", "csv", out
    )
    view.close()
    with path.open() as one, out.open() as two:
        given, kept = list(csv.DictReader(one)), list(csv.DictReader(two))
    assert [(row["price"], row["size"], row["id"]) for row in given] == [
        (row["price"], row["size"], row["id"]) for row in kept
    ]
    other = Home.at(tmp_path / "other")
    other.create()
    back = done(other, ask(other, out))
    assert [one["instrument"] for one in back["instruments"]] == ["BTC-USD.import"]
    columns = ["ts_event", "sequence", "price", "price_scale", "size", "size_scale", "aggressor", "id"]
    rows = []
    for place in (home, other):
        view = LiveView(place.path, follow=False)
        rows.append(view.store.read(TRADES, Query()).select(columns).to_pylist())
        view.close()
    assert rows[0] == rows[1]


def test_bars_of_many_pieces_are_those_of_one(home: Home, tmp_path: Path) -> None:
    """The file's days are cut within hours: whatever pieces there are, the bars are those of all trades."""
    home.create()
    path = trades_file(tmp_path, 3_000, step_ms=60_000)
    done(home, ask(home, path))
    view = LiveView(home.path, follow=False)
    with path.open() as file:
        given = list(csv.DictReader(file))
    for interval, length in (("1m", 60), ("1h", 3_600), ("1d", 86_400), ("4h", 14_400)):
        groups: dict[int, list[dict[str, str]]] = {}
        for row in given:
            groups.setdefault(int(row["time"]) // 1000 // length * length, []).append(row)
        found = view.bars("BTC-USD.import", interval, None, None, 100_000).bars
        assert found["start"].tolist() == [start * 10**9 for start in sorted(groups)]
        closes = [float(groups[start][-1]["price"]) for start in sorted(groups)]
        assert [
            c / 10.0**s for c, s in zip(found["close"].tolist(), found["price_scale"].tolist(), strict=True)
        ] == closes
        assert found["trades"].tolist() == [len(groups[start]) for start in sorted(groups)]
    view.close()


def test_a_strict_import_ends_at_the_first_bad_row_and_one_of_nothing_fails(
    home: Home, tmp_path: Path
) -> None:
    home.create()
    path = tmp_path / "ETH-USD.csv"
    path.write_text("time,price,size\n1700000000,1,2\n1700000001,NaN,2\n")
    kept = done(home, ask(home, path))
    assert kept["reasons"] == {"price: not finite": 1}
    line = json.loads((home.path / kept["quarantine"]).read_text())
    assert line == {"line": 3, "reason": "price: not finite", "text": "1700000001,NaN,2"}
    path.write_text("time,price,size\n1700000005,100,2\n1700000001,NaN,2\n")
    with pytest.raises(DataQualityError, match="line 3"):
        done(home, {**ask(home, path), "strict": 1})
    with pytest.raises(DataQualityError, match="none of the 2 rows"):
        done(home, ask(home, path, time="epoch_ns", price_power=18))


def test_an_import_that_dies_anywhere_ends_in_the_same_rows(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between keeping a piece and saying so, and with what it said before."""
    monkeypatch.setattr(piece.pieces, "__defaults__", (2_000,))
    monkeypatch.setattr(bound, "BATCH_ROWS", 1_000)
    path = trades_file(tmp_path, 9_000, step_ms=200)
    home.create()
    detail = ask(home, path)
    for dies_at in (1, 2, 3):
        context = Here(home, dies_at=dies_at)
        with pytest.raises(Stopped):
            done(home, detail, context)
    result = done(home, detail, Here(home, resumed=context.kept[-1]))
    assert (result["rows"], result["already"]) == (9_000, False)
    twin = Home.at(tmp_path / "twin")
    twin.create()
    whole = Here(twin)
    assert done(twin, ask(twin, path), whole)["rows"] == 9_000
    assert len(whole.kept) > 3
    assert digest(home, TRADES, BARS) == digest(twin, TRADES, BARS)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "..", "a" * 32 + "/../x", "0" * 32, "A" * 32, "\0", "％2e"]
)
def test_an_upload_is_named_by_its_id_alone(home: Home, name: str) -> None:
    home.create()
    (home.path / "uploads").mkdir()
    (home.path / "uploads" / ("0" * 32 + ".json")).symlink_to("/etc/passwd")
    with pytest.raises(NotFoundError):
        upload.find(home, name)


@pytest.mark.timeout(400)
def test_an_import_that_is_killed_goes_on_and_ends_in_the_same_rows(local: Office, tmp_path: Path) -> None:
    path = trades_file(tmp_path, 300_000, step_ms=100)
    local.home.create()
    detail = ask(local.home, path)
    local.start(lease_s=4)
    job_id = local.submit("import", detail=detail)
    until(lambda: local.job(job_id).done, "the first piece is kept")
    for pid in local.members(job_id):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    ended = local.ended(job_id)
    assert ended.state == "done", ended.error
    assert ended.attempts == 2
    assert ended.result is not None
    assert ended.result["rows"] == 300_000

    twin = Home.at(tmp_path / "twin")
    twin.create()
    done(twin, ask(twin, path))
    assert digest(local.home, TRADES, BARS) == digest(twin, TRADES, BARS)
    with local.metadata.read() as connection:
        assert [one.ended is not None for one in imported.page(connection, limit=5)] == [True]
