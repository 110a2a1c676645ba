"""Fetching over REST: who has history, what it would take, the job, and what makes no sense."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.jobs.conftest import Office, plugins
from tests.service.conftest import Service, short_home
from tidemill import connect, errors
from tidemill.stores.api import Query
from tidemill.stores.lake import Lake
from tidemill.stores.table import BARS

pytestmark = pytest.mark.timeout(400)

ASK: dict[str, Any] = {
    "provider": "made", "symbols": ["AAA", "BBB"], "interval": "1h", "start": "2026-01-01",
    "end": "2026-01-03",
}  # fmt: skip


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {"PYTHONPATH": plugins(tmp_path_factory.mktemp("fetch"))[1]}


@pytest.fixture(scope="module")
def service(env: dict[str, str]) -> Iterator[Service]:
    made = Service(short_home(), env=env)
    yield made
    made.stop()
    shutil.rmtree(made.home.path, ignore_errors=True)


def test_a_fetch_is_estimated_submitted_and_done(
    service: Service,
    env: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PYTHONPATH", env["PYTHONPATH"])
    client = service.client
    (found,) = [one for one in client.get("/api/v1/providers").json()["items"] if one["name"] == "made"]
    assert (found["kinds"], found["ready"]) == (["bars", "trades"], True)
    assert found["credentials"] == [
        {"name": "key", "variables": ["MADE_API_KEY"], "required": False, "set": False}
    ]
    names = client.get("/api/v1/providers/made/symbols", params={"search": "a"}).json()["items"]
    assert names == [{"symbol": "AAA", "instrument": "AAA.made", "name": "AAA Inc", "kind": "stock"}]

    said = client.post("/api/v1/data/fetch/estimate", json=ASK)
    assert said.status_code == 200, said.text
    estimate = said.json()
    assert (estimate["chunks"], estimate["held"], len(estimate["items"])) == (16, 0, 2)
    answer = client.post("/api/v1/data/fetch", json={**ASK, "key": "mine"})
    assert answer.status_code == 202, answer.text
    job_id = answer.json()["job_id"]
    assert answer.headers["Location"] == f"/api/v1/jobs/{job_id}"
    again = client.post("/api/v1/data/fetch", json={**ASK, "key": "mine"}).json()
    assert again == {"job_id": job_id, "state": "queued", "new": False}
    stocks = client.post("/api/v1/stocks/fetch", json={**ASK, "interval": "1d", "symbols": ["CCC"]})
    assert stocks.status_code == 202, stocks.text

    office = Office(service.home, env)
    office.start()
    for name in (job_id, stocks.json()["job_id"]):
        assert office.ended(name).state == "done"
    result = client.get(f"/api/v1/jobs/{job_id}").json()["result"]
    for name in ("rows", "requests", "chunks", "bytes"):
        assert result[name] == estimate[name]
    bars = client.get("/api/v1/data/AAA.made/bars", params={"interval": "1h", "limit": 100}).json()
    assert len(bars["ts"]) == result["rows"] // 2
    assert len(Lake(service.home.lake).read(BARS, Query(instruments=("CCC.made",), interval="1d")))
    after = client.post("/api/v1/data/fetch/estimate", json=ASK).json()
    assert (after["chunks"], after["held"], after["seconds"]) == (0, 16, 0.0)

    # The same from Python, there and over REST.
    with connect(url=service.url, token=service.token) as remote, connect(service.home.path) as local:
        there = remote.fetch("made", "AAA", "4h", start="2026-01-01", end="2026-01-03")
        assert there.equals(remote.bars("AAA.made", "4h", start="2026-01-01", end="2026-01-03"))
        here = local.fetch("made", ["AAA", "DDD"], "4h", start="2026-01-01", end="2026-01-03", quiet=True)
        assert here.filter(instrument="AAA.made").drop("instrument").equals(there)
        assert here["instrument"].unique().sort().to_list() == ["AAA.made", "DDD.made"]
        assert "fetch" in capfd.readouterr().err
        with pytest.raises(errors.NotFoundError, match="NONE"):
            remote.fetch("made", "NONE", "1h", start="2026-01-01", end="2026-01-03", quiet=True)
        for one in (remote, local):
            with pytest.raises(errors.UsageError) as refused:
                one.fetch("made", "../x", "1h", start="2026-01-01", quiet=True)
            assert refused.value.code == "symbol_invalid"
    office.close()


BAD: list[tuple[dict[str, Any], int]] = [
    ({"provider": "nobody"}, 404),
    ({"provider": "../api"}, 404),
    ({"provider": "a\x00b"}, 422),
    ({"provider": 7}, 422),
    ({"symbols": []}, 422),
    ({"symbols": ["A"] * 1001}, 422),
    ({"symbols": ["a b", ""]}, 422),
    ({"symbols": ["A\x00"]}, 422),
    ({"symbols": ["'; DROP TABLE jobs; --"]}, 422),
    ({"interval": "0m"}, 422),
    ({"interval": "999999999mo"}, 422),
    ({"start": "tomorrow"}, 422),
    ({"start": "9" * 60}, 422),
    ({"start": "2200-01-01", "end": None}, 422),
    ({"end": "2025-01-01"}, 422),
    ({"workers": 0}, 422),
    ({"workers": 10**30}, 422),
    ({"workers": "many"}, 422),
    ({"options": {"chunk_s": "x" * 300}}, 422),
    ({"options": ["a"]}, 422),
    ({"priority": 11}, 422),
    ({"key": "\x00"}, 422),
    ({"again": "perhaps"}, 422),
    ({"other": 1}, 422),
    ({"start": "1800-01-01", "interval": "1s"}, 422),
]


def test_what_makes_no_sense_is_told_and_nothing_breaks(service: Service) -> None:
    client = service.client
    for change, status in BAD:
        body = {name: value for name, value in {**ASK, **change}.items() if value is not None}
        for path in ("/data/fetch", "/data/fetch/estimate", "/stocks/fetch"):
            answer = client.post(f"/api/v1{path}", json=body)
            # A priority is none of an estimate's fields: unfit all the same.
            assert answer.status_code == status, (path, change, answer.text)
            assert set(answer.json()) >= {"code", "message", "hint"}
    assert client.post("/api/v1/stocks/fetch", json={**ASK, "kind": "trades"}).status_code == 422
    for path, status in (
        ("/providers/nobody/symbols?search=a", 404),
        ("/providers/..%2Fapi/symbols?search=a", 404),
        ("/providers/made/symbols", 422),
        ("/providers/made/symbols?search=%00", 422),
        ("/providers/made/symbols?search=a&limit=0", 422),
        ("/providers/made/symbols?search=down", 502),
        ("/providers?limit=1", 422),
    ):
        answer = client.get(f"/api/v1{path}")
        assert answer.status_code == status, (path, answer.text)
    assert [one for one in client.get("/api/v1/jobs").json()["items"] if one["state"] == "queued"] == []
    assert service.stranger.post("/api/v1/data/fetch", json=ASK).status_code == 401


def test_an_estimate_of_much_is_quick(service: Service) -> None:
    ask = {**ASK, "options": {"chunk_s": "86400"}, "interval": "1d", "start": "2000-01-01"}
    service.client.post("/api/v1/data/fetch/estimate", json=ask)
    begun = time.monotonic()
    answer = service.client.post("/api/v1/data/fetch/estimate", json=ask)
    assert answer.json()["chunks"] > 15_000
    assert time.monotonic() - begun < 15
