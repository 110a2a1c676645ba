"""`adjusted=` and `known=` over REST and in exports: the same prices as `td.bars(adjusted=…)`."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest

import tidemill
from tests.jobs.test_query import Context
from tests.service.conftest import Service, short_home
from tidemill.cli import main
from tidemill.errors import UsageError
from tidemill.jobs import kind
from tidemill.metadata import Metadata, fact
from tidemill.model import fact as model
from tidemill.model import time as times
from tidemill.service import schema
from tidemill.stores.imported import keep
from tidemill.stores.lake import Lake

NAME = "X.lean"
PATHS = (f"/api/v1/data/{NAME}/bars?interval=1d", f"/candles?symbol={NAME}&interval=1d")


def tell(home: Path, **said: Any) -> None:
    metadata = Metadata.open(home / "tidemill.db")
    with metadata.write() as connection:
        fact.add(connection, [model.fact(instrument=NAME, source="lean", **said)], actor="owner")
    metadata.close()


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    home = short_home()
    days = np.array([times.parse(f"2024-06-{day:02}") for day in (3, 4, 5, 6)], np.int64)
    prices = np.array([4000, 4040, 1010, 1020], np.int64)
    columns = {
        "start": days, "open": prices, "high": prices, "low": prices, "close": prices, "price_scale": 1,
        "volume": np.array([10, 20, 30, 40]), "size_scale": 0, "trades": np.zeros(4, np.int64),
    }  # fmt: skip
    lake = Lake.of(home.path)
    keep(lake, NAME, "1d", columns, source="lean", chunk="1", ts_recv=1)
    lake.close()
    tell(home.path, kind="split", date="2024-06-05", ratio="4")
    tell(home.path, kind="dividend", date="2024-06-06", amount="1.01")
    running = Service(home)
    yield running
    running.stop()
    shutil.rmtree(home.path, ignore_errors=True)


def ask(service: Service, path: str, **params: str) -> Any:
    answer = service.client.get(url(path, params))
    assert answer.status_code == 200, answer.text
    return answer.json()


def url(path: str, params: dict[str, str]) -> httpx.URL:
    return httpx.URL(path).copy_merge_params(params)


@pytest.mark.parametrize("way", ["raw", "none", "split", "all"])
@pytest.mark.parametrize("known", [None, "2024-06-04"])
def test_every_way_out_has_the_same_prices(service: Service, way: Any, known: str | None) -> None:
    asked = {"adjusted": way, **({"known": known} if known else {})}
    with tidemill.connect(service.home.path) as td:
        exact = td.bars(NAME, "1d", adjusted=way, known=known, exact=True)
        floats = td.bars(NAME, "1d", adjusted=way, known=known)
    rows = [ask(service, path, format="rows", **asked) for path in PATHS]
    schema.BarRows.model_validate(rows[0])
    assert rows[0] == rows[1]
    columns = [
        ask(service, f"/api/v1/data/{NAME}/bars?interval=1d", **asked),
        ask(service, f"/historical?symbol={NAME}&interval=1d", **asked),
    ]
    for name in ("open", "high", "low", "close", "volume"):
        assert [row[name] for row in rows[0]["items"]] == exact[name].to_list()
        for one in columns:
            assert one[name] == floats[name].to_list()
    file = service.client.get(url(PATHS[0], {**asked, "format": "arrow"}))
    table = pa.ipc.open_stream(file.content).read_all()
    assert [float(value) for value in table["close"].to_pylist()] == pytest.approx(floats["close"].to_list())
    with tidemill.connect(url=service.url, token=service.token) as remote:
        assert remote.bars(NAME, "1d", adjusted=way, known=known, exact=True).equals(exact)


def test_pages_are_adjusted_alike_and_keep_to_their_question(service: Service) -> None:
    first = ask(service, PATHS[0], adjusted="split", limit="2")
    older = ask(service, PATHS[0], adjusted="split", limit="2", cursor=first["next"])
    assert older["close"] + first["close"] == [100.0, 101.0, 101.0, 102.0]
    other = service.client.get(url(PATHS[0], {"limit": "2", "cursor": first["next"]}))
    assert (other.status_code, other.json()["code"]) == (422, "cursor_invalid")


def test_a_chunk_is_adjusted_as_the_first_answer(service: Service) -> None:
    first = ask(service, f"/historical?symbol={NAME}&interval=1d", adjusted="all")
    chunk = ask(
        service, "/historical/chunk", request_id=first["request_id"], before=str(times.parse("2024-06-05"))
    )
    assert chunk["close"] == pytest.approx([99.0, 99.99])
    assert chunk["request_id"] == first["request_id"]


def test_what_cannot_be_adjusted_is_refused(service: Service) -> None:
    for params, code in (
        ({"interval": "1w", "adjusted": "split"}, "adjusted_interval"),
        ({"adjusted": "yes"}, "parameter_invalid"),
        ({"adjusted": "all", "known": "soon"}, "time_invalid"),
    ):
        answer = service.client.get(f"/api/v1/data/{NAME}/bars", params=params)
        assert (answer.status_code, answer.json()["code"]) == (422, code)


def exported(home: Path, target: Path, *words: str) -> list[str]:
    command = ["data", "export", "bars", NAME, "--interval", "1d", "-o", str(target), "--home", str(home)]
    assert main([*command, *words]) == 0
    return [row["close"] for row in csv.DictReader(io.StringIO(target.read_text()))]


def test_exports_are_adjusted(service: Service, tmp_path: Path) -> None:
    home = service.home.path
    target = tmp_path / "bars.csv"
    assert exported(home, target) == exported(home, target, "--adjusted", "none")
    assert exported(home, target, "--adjusted", "split") == ["100.0000000", "101.0000000", "101.0", "102.0"]
    early = exported(home, target, "--adjusted", "all", "--known", "2024-06-04")
    assert early == ["400.0", "404.0", "101.0", "102.0"]
    assert main(["data", "export", "trades", NAME, "--adjusted", "all", "--home", str(home)]) == 2
    assert main(["data", "export", "bars", NAME, "--adjusted", "yes", "--home", str(home)]) == 2


def test_a_job_exports_adjusted_bars(service: Service) -> None:
    work = kind.load("export")
    detail = work.check(
        {"kind": "bars", "instrument": NAME, "interval": "1d", "adjusted": "split", "format": "csv"}
    )
    told = work.run(Context(service.home.path), detail)
    rows = csv.DictReader(io.StringIO((service.home.path / told["file"]).read_text()))
    assert [row["close"] for row in rows] == ["100.0000000", "101.0000000", "101.0", "102.0"]
    with pytest.raises(UsageError, match="yes"):
        work.check({"kind": "bars", "instrument": NAME, "adjusted": "yes"})


def test_a_new_fact_counts_at_once(service: Service) -> None:
    before = ask(service, PATHS[0], adjusted="split")["close"]
    tell(service.home.path, kind="split", date="2024-06-04", ratio="2")
    after = ask(service, PATHS[0], adjusted="split")["close"]
    assert (before[0], after) == (100.0, [50.0, *before[1:]])
