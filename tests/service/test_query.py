"""`POST /api/v1/data/query`: shapes, bounds, and nothing a statement does is the service's trouble."""

from __future__ import annotations

import io
import json
import shutil
import threading
import time
from collections.abc import Iterator
from decimal import Decimal

import httpx
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tidemill
from tests.service.conftest import Service, short_home
from tests.stores.make import NAMES, mixed
from tests.stores.test_live import World
from tidemill.errors import ResourceError, UsageError
from tidemill.remote import Remote
from tidemill.service import schema

JSON = {"Content-Type": "application/json"}
SQL = f"SELECT ts_event, price, size, sequence FROM trades WHERE instrument = '{NAMES[0]}' ORDER BY sequence"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    place = short_home()
    world = World(place.path)
    world.write(mixed(2_000))
    world.record()
    yield world
    world.journal.close()
    shutil.rmtree(place.path, ignore_errors=True)


@pytest.fixture(scope="module")
def service(world: World) -> Iterator[Service]:
    from tidemill.home import Home

    running = Service(Home.at(str(world.home)))
    yield running
    running.stop()


def ask(service: Service, sql: str, **rest: object) -> httpx.Response:
    return service.client.post("/api/v1/data/query", json={"sql": sql, **rest})


def test_every_format_holds_the_same_rows(service: Service, world: World) -> None:
    rows = ask(service, SQL, format="rows").json()
    schema.QueryAnswer.model_validate(rows)
    _, sequences = world.trades(NAMES[0])
    assert [int(line["sequence"]) for line in rows["items"]] == sequences.tolist()
    columns = ask(service, SQL).json()
    schema.QueryAnswer.model_validate(columns)
    assert columns["columns"]["price"] == [float(line["price"]) for line in rows["items"]]
    assert columns["columns"]["ts_event"] == [line["ts_event"] for line in rows["items"]]
    arrow = ask(service, SQL, format="arrow")
    with pa.ipc.open_stream(arrow.content) as reader:
        table = reader.read_all()
    assert table["price"].to_pylist() == [Decimal(line["price"]) for line in rows["items"]]
    assert table["ts_event"].type == pa.timestamp("ns", "UTC")
    parquet = pq.read_table(io.BytesIO(ask(service, SQL, format="parquet").content))
    assert parquet.to_pylist() == table.to_pylist()
    csv = pl.read_csv(ask(service, SQL, format="csv").content)
    assert csv["sequence"].to_list() == sequences.tolist()
    assert arrow.headers["x-tidemill-facts"].startswith('{"names"')


def test_more_rows_than_asked_for(service: Service) -> None:
    found = ask(service, "SELECT * FROM range(20)", limit=5).json()
    assert (found["rows"], found["truncated"]) == (5, True)
    found = ask(service, "SELECT * FROM range(20)", preview=True).json()
    schema.QueryAnswer.model_validate(found)
    assert found["rows"] == 20
    assert 160 <= found["bytes"] < 200


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"sql": "SELECT * FROM read_csv('/etc/passwd')"}, 422, "query_invalid"),
        ({"sql": "DROP VIEW trades"}, 422, "query_invalid"),
        ({"sql": "SELECT nothing FROM trades"}, 422, "query_invalid"),
        ({"sql": "SELECT nothing FROM trades", "as_job": True}, 422, "query_invalid"),
        ({"sql": ""}, 422, "parameter_invalid"),
        ({"sql": "SELECT 1", "limit": 200_000}, 422, "limit_invalid"),
        ({"sql": "SELECT 1", "limit": 0}, 422, "parameter_invalid"),
        ({"sql": "SELECT 1", "format": "xml"}, 422, "parameter_invalid"),
        ({"sql": "SELECT 1", "other": 1}, 422, "parameter_invalid"),
        ({"sql": "SELECT '\ud800'.x"}, 422, "parameter_invalid"),
    ],
)
def test_refusals(service: Service, body: dict[str, object], status: int, code: str) -> None:
    answer = service.client.post("/api/v1/data/query", content=json.dumps(body), headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


def test_numbers_that_json_has_not(service: Service) -> None:
    found = ask(
        service, "SELECT 'nan'::DOUBLE AS a, 'inf'::DOUBLE AS b, 2::HUGEINT ** 70 AS c", format="rows"
    )
    assert found.json()["items"][0]["a"] is None
    assert found.json()["items"][0]["b"] is None


def test_a_query_that_takes_long_is_ended_and_others_go_on(service: Service) -> None:
    slow = "SELECT sum(a.range * b.range) FROM range(10000000000) a, range(1000000) b"
    told: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: told.append(ask(service, slow, timeout_s=2)))
    asking.start()
    began = time.monotonic()
    assert service.client.get("/api/v1/health/live").status_code == 200
    assert time.monotonic() - began < 2
    asking.join()
    assert (told[0].status_code, told[0].json()["code"]) == (504, "query_timeout")


def test_a_job_is_entered(service: Service) -> None:
    answer = ask(service, SQL, as_job=True, format="csv")
    assert answer.status_code == 202
    schema.Job.model_validate(answer.json())
    assert answer.json()["detail"] == {"sql": SQL, "format": "csv", "timeout_s": 3600}
    assert answer.headers["location"].endswith(answer.json()["id"])


def test_home_and_remote_answer_alike(service: Service, world: World) -> None:
    here = tidemill.connect(world.home)
    with here, Remote(service.url, service.token) as there:
        found = here.sql(SQL)
        assert found.equals(there.sql(SQL))
        assert found.schema["price"] == pl.Float64
        assert found.schema["ts_event"] == pl.Datetime("ns", "UTC")
        assert here.sql(SQL, exact=True).equals(there.sql(SQL, exact=True))
        assert len(there.sql(SQL, limit=3)) == len(here.sql(SQL, limit=3)) == 3
        for one in (here, there):
            with pytest.raises(UsageError, match="line 1, column 8"):
                one.sql("SELECT nothing FROM trades")
            with pytest.raises(ResourceError, match="more than 1,000,000 rows"):
                one.sql("SELECT * FROM range(1000001)")
