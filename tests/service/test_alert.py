"""`/api/v1/alerts` over a real journal: what happens is told once, by every channel."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.alerts.receiver import Hook, Postbox
from tests.service.conftest import Service, short_home
from tests.service.journal import START, Venue
from tidemill.metadata import Metadata, job
from tidemill.service import alert

BTC = "BTC-USD.sim-kraken"
SECOND = 1_000_000_000
WAIT_S = 60


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[Service, Venue, Postbox]]:
    home = short_home()
    venue = Venue.make(home, "sim-kraken", "BTC-USD")
    venue.write(venue.trades("BTC-USD", 60, START, SECOND))
    with Postbox(refused="nobody@example.org") as postbox:
        running = Service(home, {"TIDEMILL_SMTP_URL": postbox.url, "TIDEMILL_WEBHOOK_HOSTS": "127.0.0.1"})
        yield running, venue, postbox
        running.stop()
    shutil.rmtree(home.path, ignore_errors=True)


@pytest.fixture
def service(world: tuple[Service, Venue, Postbox]) -> Iterator[Service]:
    yield world[0]
    for one in world[0].client.get("/api/v1/alerts").json()["items"]:
        world[0].client.delete(f"/api/v1/alerts/{one['id']}")


def made(service: Service, terms: dict[str, Any], **more: Any) -> dict[str, Any]:
    answer = service.client.post("/api/v1/alerts", json={"terms": terms, **more})
    assert answer.status_code == 201, answer.text
    alert.Alert.model_validate_json(answer.text)
    found: dict[str, Any] = answer.json()
    return found


def fired(service: Service, alert_id: str) -> list[dict[str, Any]]:
    answer = service.client.get("/api/v1/alerts/firings", params={"alert": alert_id, "limit": 500})
    found: list[dict[str, Any]] = answer.json()["items"]
    alert.Firings.model_validate_json(answer.text)
    return found


def wait(ask: Callable[[], Any]) -> Any:
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        if found := ask():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come")


def looked_at(service: Service, alert_id: str) -> None:
    """Returns once the rule knows where it stands: its state is written with its next firing or flush."""
    with contextlib.closing(Metadata.open(service.home.database)) as metadata:

        def kept() -> bool:
            from tidemill.metadata import alert as rows

            with metadata.read() as connection:
                return bool(rows.one(connection, alert_id).state)

        wait(kept)


def trade(venue: Venue, second: int, price: int) -> None:
    records = venue.trades("BTC-USD", 1, START + second * SECOND, SECOND, seed=second)
    records["price"] = price
    venue.write(records)


def test_a_price_through_a_level_is_told_by_event_webhook_and_mail(
    world: tuple[Service, Venue, Postbox], service: Service
) -> None:
    _, venue, postbox = world
    trade(venue, 100, 642_000)
    trade(venue, 101, 642_000)
    with Hook(500) as hook:
        channels = [
            {"channel": "webhook", "url": hook.url},
            {"channel": "mail", "to": "me@example.org"},
            {"channel": "mail", "to": "nobody@example.org"},
        ]
        terms = {"kind": "price", "instrument": "BTC-USD", "direction": "above", "level": "65000"}
        one = made(service, terms, channels=channels, once=True)
        assert one["sentence"] == f"{BTC} rises to 65000"
        looked_at(service, one["id"])
        trade(venue, 110, 650_001)
        trade(venue, 111, 650_002)
        (firing,) = wait(lambda: fired(service, one["id"]))
        assert firing["value"] == "65000.1"
        assert firing["ts"] == str(START + 110 * SECOND)
        told = wait(
            lambda: (
                (
                    (found := fired(service, one["id"]))[0]["deliveries"]
                    if all(d["state"] != "waiting" for d in found[0]["deliveries"])
                    else None
                )
                if (found := fired(service, one["id"]))
                else None
            )
        )
        assert [(d["channel"], d["state"], d["tries"]) for d in told] == [
            ("webhook", "sent", 2), ("mail", "sent", 1), ("mail", "failed", 1),
        ]  # fmt: skip
        assert hook.bodies[0] == hook.bodies[1]
        assert hook.bodies[0]["message"] == f"{BTC} rises to 65000: traded at 65000.1"
    (mail,) = postbox.mails
    assert f"Subject: {one['name']}" in mail.replace("\n ", " ").replace("\r", "")
    events = service.client.get("/api/v1/events", params={"limit": 1000}).json()["items"]
    (event,) = [e for e in events if e["kind"] == "alert_fired" and e["subject"] == one["id"]]
    assert event["data"]["value"] == "65000.1"
    after = service.client.get(f"/api/v1/alerts/{one['id']}").json()
    assert (after["enabled"], after["count"]) == (False, 1)


def test_an_indicator_of_closed_bars(world: tuple[Service, Venue, Postbox], service: Service) -> None:
    _, venue, _ = world
    for at in range(200, 210):
        trade(venue, at, 642_000)
    line = {"indicator": "sma", "params": {"period": 3}}
    one = made(
        service, {"kind": "indicator", "instrument": BTC, "interval": "1s", "line": line, "level": 64_500.0}
    )
    looked_at(service, one["id"])
    for at in range(210, 216):
        trade(venue, at, 646_000)
    (firing,) = wait(lambda: fired(service, one["id"]))
    # 64 200, 64 600, 64 600: the mean of three goes through 64 500 with none of them, then with all.
    assert firing["ts"] == str(START + 212 * SECOND)
    assert "crosses 64500" in firing["message"]


def test_a_failed_job_is_told(service: Service) -> None:
    one = made(service, {"kind": "job", "job_kind": "fetch"})
    looked_at(service, one["id"])
    with contextlib.closing(Metadata.open(service.home.database)) as metadata, metadata.write() as connection:
        job.submit(connection, "fetch", owner="owner", job_id="j1")
        claimed = job.claim(connection, "w", lease_s=60, job_id="j1")
        assert claimed is not None
        job.end(connection, "j1", claimed.token, "failed", error={"message": "the plan has ended"})
    (firing,) = wait(lambda: fired(service, one["id"]))
    assert firing["message"].endswith("the plan has ended")


def test_a_test_fires_and_says_so(service: Service) -> None:
    with Hook() as hook:
        terms = {"kind": "stale", "venue": "kraken"}
        one = made(service, terms, channels=[{"channel": "webhook", "url": hook.url}], enabled=False)
        answer = service.client.post(f"/api/v1/alerts/{one['id']}/test")
        assert answer.status_code == 202
        alert.Firing.model_validate_json(answer.text)
        wait(lambda: hook.bodies)
        assert hook.bodies[0]["test"] is True
    assert service.client.get(f"/api/v1/alerts/{one['id']}").json()["count"] == 0


def test_a_webhook_inside_the_network_needs_a_setting(service: Service) -> None:
    url = "http://[::1]:9/hook"
    one = made(service, {"kind": "job"}, channels=[{"channel": "webhook", "url": url}])
    service.client.post(f"/api/v1/alerts/{one['id']}/test")
    failed = wait(lambda: [d for f in fired(service, one["id"]) for d in f["deliveries"] if d["error"]])
    assert failed[0]["state"] == "failed"
    assert "TIDEMILL_WEBHOOK_HOSTS" in failed[0]["error"]


def test_a_change_keeps_the_rest_and_a_deletion_keeps_the_history(service: Service) -> None:
    one = made(service, {"kind": "gap"}, cooldown_s=5)
    assert one["name"] == "a gap opens at a venue"
    path = f"/api/v1/alerts/{one['id']}"
    after = service.client.patch(path, json={"enabled": False}).json()
    assert (after["enabled"], after["cooldown_s"], after["name"]) == (False, 5, one["name"])
    after = service.client.patch(path, json={"terms": {"kind": "gap", "venue": "kraken"}}).json()
    assert after["name"] == "a gap opens at kraken"
    after = service.client.patch(path, json={"name": "mine", "expires": "2099-01-01"}).json()
    after = service.client.patch(path, json={"cooldown_s": 9}).json()
    assert (after["name"], after["cooldown_s"]) == ("mine", 9)
    assert after["expires"] is not None
    assert service.client.patch(path, json={"expires": ""}).json()["expires"] is None
    service.client.post(f"{path}/test")
    assert service.client.delete(path).status_code == 200
    assert service.client.get(path).json()["code"] == "alert_unknown"
    assert len(fired(service, one["id"])) == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "parameter_invalid"),
        ({"terms": {"kind": "wish"}}, "parameter_invalid"),
        ({"terms": {"kind": "price", "instrument": BTC, "level": "1e5"}}, "parameter_invalid"),
        ({"terms": {"kind": "price", "instrument": BTC, "level": "1", "x": 1}}, "parameter_invalid"),
        ({"terms": {"kind": "price", "instrument": "NO-NO.sim-kraken", "level": "1"}}, "instrument_unknown"),
        ({"terms": {"kind": "volume", "instrument": BTC, "interval": "7q"}}, "interval_invalid"),
        (
            {"terms": {"kind": "indicator", "instrument": BTC, "interval": "1m", "line": {"indicator": "no"},
                       "level": 1}},
            "indicator_unknown",
        ),
        (
            {"terms": {"kind": "indicator", "instrument": BTC, "interval": "1m",
                       "line": {"indicator": "rsi"}}},
            "parameter_invalid",
        ),
        ({"terms": {"kind": "gap"}, "expires": "2001-01-01"}, "time_invalid"),
        ({"terms": {"kind": "gap"}, "channels": [{"channel": "webhook", "url": "ftp://x"}]},
         "parameter_invalid"),
        ({"terms": {"kind": "gap"}, "channels": [{"channel": "webhook", "url": "https://a:b@x"}]},
         "channel_invalid"),
        ({"terms": {"kind": "gap"}, "channels": [{"channel": "mail", "to": "a\r\nBcc: b@x"}]},
         "parameter_invalid"),
        ({"terms": {"kind": "gap"}, "cooldown_s": -1}, "parameter_invalid"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(service: Service, body: dict[str, Any], code: str) -> None:
    answer = service.client.post("/api/v1/alerts", json=body)
    assert answer.status_code in (404, 422), answer.text
    assert answer.json()["code"] == code
