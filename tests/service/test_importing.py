"""The import wizard over REST: a file is taken in, looked at, imported; nothing else can be named."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

import pytest

from tests.service.conftest import Service
from tidemill.importer import upload
from tidemill.jobs import here
from tidemill.log import Log
from tidemill.metadata import Metadata, fact
from tidemill.model import fact as model

ROWS = b"14400464,1674100,100,P,1,0\n14400465,1674200,200,P,1,0\n14400466,x,200,P,1,0\n"
NAME = "equity/usa/tick/spy/20131007_trade.csv"


def send(service: Service, data: bytes, name: str = NAME) -> str:
    answer = service.client.post("/api/v1/data/uploads", params={"name": name}, content=data)
    assert answer.status_code == 201, answer.text
    assert answer.json()["bytes"] == len(data)
    found: str = answer.json()["upload"]
    return found


def test_the_wizard_from_file_to_rows(service: Service) -> None:
    sent = send(service, ROWS)
    seen = service.client.post("/api/v1/data/imports/preview", json={"upload": sent}).json()
    assert seen["recipe"]["layout"] == "lean-equity-tick-trade"
    assert [line["price"] for line in seen["rows"]] == ["167.4100", "167.4200"]
    assert [(line["line"], line["reason"]) for line in seen["bad"]] == [(3, "price: no number")]

    body = {"upload": sent, "save_recipe": "LEAN ticks", "changes": {"source": "mine"}}
    answer = service.client.post("/api/v1/data/imports", json=body)
    assert answer.status_code == 202, answer.text
    metadata = Metadata.open(service.home.database)
    done = here.finish(service.home, metadata, answer.json()["id"], Log("jobs"))
    metadata.close()
    assert done.result is not None, done.error
    assert (done.result["rows"], done.result["bad"]) == (2, 1)

    saved = service.client.get("/api/v1/data/recipes").json()["items"]
    assert [(one["name"], one["recipe"]["instrument"]) for one in saved] == [("LEAN ticks", "")]
    again = service.client.post(
        "/api/v1/data/imports/preview",
        json={"upload": send(service, ROWS, NAME.replace("spy", "bac")), "recipe": "LEAN ticks"},
    ).json()
    assert again["recipe"]["instrument"] == "BAC.lean"
    assert again["open"] == []


def test_recipes_are_put_shown_and_deleted(service: Service) -> None:
    recipe = {
        "version": 1, "kind": "trades", "columns": ["a", "b", "c"],
        "fields": {"time": "a", "price": "b", "size": "c"},
    }  # fmt: skip
    put = service.client.put("/api/v1/data/recipes/mine", json=recipe)
    assert put.status_code == 200, put.text
    assert service.client.get("/api/v1/data/recipes/mine").json()["recipe"]["time"] == "epoch_ms"
    bad = service.client.put("/api/v1/data/recipes/mine", json={**recipe, "venue": "../x"})
    assert (bad.status_code, bad.json()["code"]) == (422, "recipe_invalid")
    assert service.client.delete("/api/v1/data/recipes/mine").status_code == 200
    assert service.client.get("/api/v1/data/recipes/mine").json()["code"] == "recipe_unknown"


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "..%2f..", "C:\\x", "a" * 64, "\u2028", "0" * 32]
)
def test_nothing_but_an_upload_can_be_named(service: Service, name: str) -> None:
    before = service.home.path.stat().st_mtime
    for path in ("/api/v1/data/imports", "/api/v1/data/imports/preview"):
        answer = service.client.post(path, json={"upload": name})
        assert answer.json()["code"] == "upload_unknown"
    answer = service.client.post("/api/v1/jobs", json={"kind": "import", "detail": {"upload": name}})
    assert answer.status_code == 422
    assert service.client.get(f"/api/v1/data/recipes/{quote(name, safe='')}").status_code in (404, 422)
    assert service.home.path.stat().st_mtime == before or (service.home.path / "uploads").is_dir()


def test_a_files_name_is_never_a_path(service: Service) -> None:
    sent = send(service, ROWS, "../../../../tmp/evil.csv")
    found = upload.find(service.home, sent)
    assert found.path == service.home.path / "uploads" / f"{sent}.data"
    assert oct(found.path.stat().st_mode & 0o777) == "0o600"


def test_what_is_not_clear_starts_nothing(service: Service) -> None:
    sent = send(service, b"a,b\nx,y\n", "x.csv")
    answer = service.client.post("/api/v1/data/imports", json={"upload": sent})
    assert (answer.status_code, answer.json()["code"]) == (422, "layout_unclear")
    bomb = send(service, b"\x1f\x8b" + b"x" * 100, "x.csv.gz")
    answer = service.client.post("/api/v1/data/imports/preview", json={"upload": bomb})
    assert answer.json()["code"] == "import_unreadable"


def test_a_file_may_be_larger_than_any_other_body_and_has_its_own_bound(service: Service) -> None:
    data = b"time,price,size\n" + b"1700000000,1,2\n" * 200_000
    assert len(data) > 2 << 20
    send(service, data, "BTC-USD.csv")
    answer = service.client.post("/api/v1/data/recipes/x", content=b"x" * (2 << 20))
    assert answer.status_code in (405, 413)


def test_strangers_may_do_nothing(service: Service) -> None:
    assert service.stranger.post("/api/v1/data/uploads", content=b"x").status_code == 401
    assert service.stranger.get("/api/v1/data/recipes").status_code == 401


def test_facts_by_date_as_they_were_known(service: Service) -> None:
    def made(**rest: Any) -> model.Fact:
        return model.fact(instrument="AAPL.lean", kind="split", source="s", **rest)

    metadata = Metadata.open(service.home.database)
    with metadata.write() as connection:
        told = [made(date="2014-06-09", ratio="7"), made(date="2020-08-31", ratio="4")]
        assert fact.add(connection, told, actor="owner") == 2
        assert fact.add(connection, told, actor="owner") == 0, "the same again is the same fact"
    metadata.close()
    answer = service.client.get("/api/v1/data/facts", params={"instrument": "AAPL.lean"}).json()
    assert [(one["date"], one["ratio"]) for one in answer["items"]] == [
        ("2014-06-09", "7"),
        ("2020-08-31", "4"),
    ]
    early = service.client.get(
        "/api/v1/data/facts", params={"instrument": "AAPL.lean", "known": "2015-01-01"}
    ).json()
    assert len(early["items"]) == 1
    assert int(answer["items"][0]["ts_known"]) < time.time_ns()
