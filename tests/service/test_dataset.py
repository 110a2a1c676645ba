"""`/api/v1/datasets`: searched, paged while it changes, edited, followed, deleted."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.sync.client import connect

from tests.jobs.test_query import Context
from tests.service.conftest import Service, short_home
from tests.stores.make import NAMES, START, VENUE, mixed
from tests.stores.test_live import World
from tidemill.errors import ConflictError
from tidemill.home import Home
from tidemill.jobs import kind
from tidemill.metadata import Metadata
from tidemill.model.interval import DAY
from tidemill.service import schema
from tidemill.service.route import dataset

TRADES = f"{NAMES[0]}:trades"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    place = short_home()
    world = World(place.path)
    world.write(mixed(1_500))
    world.record()
    yield world
    world.journal.close()
    shutil.rmtree(place.path, ignore_errors=True)


@pytest.fixture(scope="module")
def service(world: World) -> Iterator[Service]:
    running = Service(Home.at(str(world.home)))
    yield running
    running.stop()


def get(service: Service, path: str = "", **query: Any) -> Any:
    answer = service.client.get(f"/api/v1/datasets{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_list_has_facts_facets_and_pages(service: Service) -> None:
    whole = get(service)
    schema.Datasets.model_validate(whole)
    ids = [row["id"] for row in whole["items"]]
    assert ids == sorted(ids)
    assert whole["total"] == len(ids) == 12
    assert whole["facets"]["kind"] == {"bars": 3, "levels": 3, "quotes": 3, "trades": 3}
    assert whole["facets"]["venue"] == {VENUE: 12}
    assert get(service, q="btc trades")["total"] == 1
    for sort in ("id", "-id", "-rows", "bytes"):
        found: list[str] = []
        page = get(service, sort=sort, limit=5)
        while True:
            found += [row["id"] for row in page["items"]]
            if page["next"] is None:
                break
            page = get(service, sort=sort, limit=5, cursor=page["next"])
        assert sorted(found) == ids, sort
    assert service.client.get("/api/v1/datasets", params={"sort": "price"}).json()["code"] == "sort_unknown"
    assert service.client.get("/api/v1/datasets", params={"sort": "rows", "cursor": "x"}).status_code == 422


class _Cache:
    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def put(self, key: str, value: bytes, _ttl_s: float) -> None:
        self.kept[key] = value

    def get(self, key: str) -> bytes | None:
        return self.kept.get(key)


class _Platform:
    def __init__(self) -> None:
        self.cache = _Cache()


@settings(max_examples=100, deadline=None)
@given(st.data(), st.sampled_from(["id", "-id", "rows", "-rows"]))
def test_pages_skip_and_repeat_nothing_while_it_changes(data: st.DataObject, sort: str) -> None:
    from tidemill.query.catalogue import ordered

    sizes = data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=30))
    rows = [{"id": f"d{at:03}", "rows": size} for at, size in enumerate(sizes)]
    stays = {row["id"] for row in rows}
    limit = data.draw(st.integers(1, 7))
    service, seen, key = _Platform(), [], None
    while True:
        page, key = dataset._page(service, ordered(rows, sort), sort, key, limit)  # type: ignore[arg-type]
        seen += [row["id"] for row in page]
        if key is None:
            break
        for _ in range(data.draw(st.integers(0, 3))):
            change = data.draw(st.sampled_from(["grow", "add", "gone"]))
            at = data.draw(st.integers(0, len(rows) - 1)) if rows else 0
            if change == "add":
                rows.append({"id": f"d{data.draw(st.integers(0, 999)):03}x", "rows": 3})
            elif rows and change == "grow":
                rows[at]["rows"] += data.draw(st.integers(1, 9))
            elif rows:
                stays.discard(rows.pop(at)["id"])
    assert len(seen) == len(set(seen)) or any(name.endswith("x") for name in seen)
    assert stays <= set(seen)


def test_a_card_has_its_newest_days_and_how_it_came(service: Service, world: World) -> None:
    row = get(service, days=60)["items"][0]
    assert row["name"] == f"{row['instrument'].rpartition('.')[0]} bars"
    assert (row["delivery"], row["access"]) == ("live", "built-in")
    assert sum(row["recent"]["rows"]) == row["rows"]
    assert row["recent"]["completeness"] == [row["completeness"]]  # all of it lies in one day
    assert get(service)["items"][0]["recent"] is None
    assert get(service, f"/{row['id']}", days=60)["recent"] == row["recent"]
    assert dataset._newest({"first": "2026-01-30", "rows": [1, 2, 3], "completeness": [1, 0.5, None]}, 2) == {
        "first": "2026-01-31", "rows": [2, 3], "completeness": [0.5, None],
    }  # fmt: skip
    facets = get(service, delivery="live")["facets"]
    assert facets["delivery"] == {"live": 12}
    assert facets["access"] == {"built-in": 12}
    assert facets["resolution"] == {"1s": 3, "event": 9}
    assert get(service, delivery="history")["total"] == get(service, resolution="1d")["total"] == 0
    assert get(service, access="built-in", resolution="event", kind="trades")["total"] == 3
    for wrong in ({"days": 61}, {"delivery": "mail"}, {"access": "free"}, {"frequency": "1s"}):
        assert service.client.get("/api/v1/datasets", params=wrong).status_code == 422, wrong


def test_coverage_tells_of_each_day(service: Service, world: World) -> None:
    found = get(service, f"/{TRADES}/coverage")
    schema.Days.model_validate(found)
    assert sum(found["rows"]) == get(service, f"/{TRADES}")["rows"]
    day = found["first"]
    assert get(service, f"/{TRADES}/coverage", start=day, end=f"{day}T23:00") == {
        "first": day, "rows": found["rows"][:1], "completeness": found["completeness"][:1],
    }  # fmt: skip
    assert get(service, f"/{TRADES}/coverage", end="2000-01-01")["rows"] == []
    assert service.client.get("/api/v1/datasets/x:y/coverage").status_code == 404
    assert service.client.get(f"/api/v1/datasets/{TRADES}/coverage", params={"days": 3}).status_code == 422


def test_fields_are_the_columns_of_sql(service: Service) -> None:
    for kind_ in ("trades", "quotes", "levels", "bars"):
        told = get(service, f"/{NAMES[0]}:{kind_}/fields")
        schema.DatasetFields.model_validate(told)
        answer = service.client.post("/api/v1/data/query", json={"sql": f"SELECT * FROM {kind_} LIMIT 0"})
        found = answer.json()
        assert [one["name"] for one in told["items"]] == found["names"], kind_
        assert [one["type"] for one in told["items"]] == found["types"], kind_
    assert service.client.get("/api/v1/datasets/x:y/fields").status_code == 404


def test_what_it_takes_to_have_more_of_a_venue() -> None:
    from tidemill.query.catalogue import access_of, delivery

    ready = {"kraken": None, "polygon": False, "alpaca": True}
    said = {
        name: access_of(name, ready) for name in ("sim-kraken", "kraken", "polygon", "alpaca-sip", "mine")
    }
    assert said == {
        "sim-kraken": "built-in", "kraken": "public", "polygon": "needs-key", "alpaca-sip": "key-set",
        "mine": "own",
    }  # fmt: skip
    assert [delivery(of) for of in (["generated", "live"], ["generated"], ["polygon"])] == [
        "live", "generated", "history",
    ]  # fmt: skip


def test_what_people_say_stays(service: Service) -> None:
    path = f"/api/v1/datasets/{TRADES}"
    before = get(service, f"/{TRADES}")
    assert before["category"] == "simulated"
    answer = service.client.patch(path, json={"description": "Ours", "category": "mine", "retention_days": 9})
    schema.Dataset.model_validate(answer.json())
    assert answer.json()["category"] == get(service, f"/{TRADES}")["category"] == "mine"
    assert get(service, category="mine")["total"] == 1
    answer = service.client.patch(path, json={"category": None, "licence": "CC0"})
    found = answer.json()
    assert (found["category"], found["description"], found["licence"]) == ("simulated", "Ours", "CC0")
    assert found["retention_days"] == 9
    assert service.client.patch(path, json={"rows": 1}).status_code == 422
    assert service.client.patch(path, json={"retention_days": 0}).status_code == 422
    assert service.client.patch("/api/v1/datasets/x:y", json={}).status_code == 404
    assert service.stranger.patch(path, json={}).status_code == 401


def test_followers_are_told_when_it_has_grown(service: Service, world: World) -> None:
    path = f"/api/v1/datasets/{TRADES}/subscribe"
    before = get(service, f"/{TRADES}")["rows"]
    assert service.client.post(path).json() == {"dataset": TRADES, "subscribed": True, "changed": True}
    assert service.client.post(path).json()["changed"] is False
    assert service.client.post("/api/v1/datasets/x:y/subscribe").status_code == 404
    assert get(service, f"/{TRADES}")["subscribed"] is True
    with connect(f"ws://{service.address}/ws/events", additional_headers=service.bearer) as events:
        time.sleep(5)  # the round that sees it followed
        world.write(mixed(400, start=START + DAY, first_id=9_000, seed=5))
        world.record()
        while True:
            told = json.loads(events.recv(30))
            if told.get("kind") == "stock_update":
                break
    assert told["subject"] == TRADES
    assert told["data"]["rows"] == before + told["data"]["added"]
    assert told["data"]["added"] > 0
    assert service.client.delete(path).json()["changed"] is True
    assert get(service, f"/{TRADES}")["subscribed"] is False


def test_a_dataset_is_deleted_by_a_job(service: Service, world: World) -> None:
    name = f"{NAMES[2]}:quotes"
    path = f"/api/v1/datasets/{name}"
    answer = service.client.delete(path)
    assert (answer.status_code, answer.json()["code"]) == (422, "confirm_missing")
    service.client.post("/api/v1/collection/start", json={"venue": VENUE})
    answer = service.client.delete(path, params={"confirm": True})
    assert (answer.status_code, answer.json()["code"]) == (409, "dataset_collecting")
    work, asked = kind.load("delete"), {"dataset": name, "confirm": True}
    with pytest.raises(ConflictError):
        work.run(Context(world.home, keep=True), work.check(asked))
    service.client.request("DELETE", "/api/v1/collection/stop", params={"venue": VENUE})
    answer = service.client.delete(path, params={"confirm": True})
    assert answer.status_code == 202
    assert answer.json()["detail"] == asked
    assert service.client.delete(path, params={"confirm": True}).json()["id"] == answer.json()["id"]
    rows = get(service, f"/{name}")["rows"]
    assert work.run(Context(world.home, keep=True), answer.json()["detail"]) == {"rows": rows}
    time.sleep(1.5)
    assert service.client.get(path).status_code == 404
    assert get(service)["total"] == 11


def test_old_days_go_by_the_clock(world: World) -> None:
    from tidemill.metadata import catalogue

    metadata = Metadata.of(Home(world.home))
    name = f"{NAMES[1]}:levels"
    with metadata.write() as connection:
        catalogue.edit(connection, name, {"retention_days": 1}, actor="t")
    found = kind.load("retain").run(Context(world.home, keep=True), {})
    assert found["rows"].keys() <= {name, TRADES}  # those with a retention; the days are as old as the test
    with metadata.write() as connection:
        catalogue.edit(connection, name, {"retention_days": None}, actor="t")
        assert name not in catalogue.kept_for(catalogue.every(connection).values())
    metadata.close()


def test_when_it_was_asked_for_is_kept(service: Service) -> None:
    from tidemill.service.grown import Accessed

    metadata = Metadata.of(service.home)
    noted = Accessed(metadata)
    noted.note(NAMES[0], "bars")
    noted.note("x" * 300, "bars")
    noted.keep()
    metadata.close()
    found = get(service, f"/{NAMES[0]}:bars")
    assert abs(int(found["accessed"]) - time.time_ns()) < 60 * 10**9
