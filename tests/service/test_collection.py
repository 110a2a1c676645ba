"""Collection: what is wanted changes, parts are told, and status says what is."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable

import pytest
from websockets.sync.client import connect

from tests.service.conftest import FakePart, Service
from tidemill.home import Home
from tidemill.model.collector import POLL, Collector
from tidemill.service.route.collection import _asked, tail
from tidemill.service.schema import CollectionStart

Part = Callable[..., FakePart]


def start_collector(service: Service, **body: object) -> dict[str, object]:
    answer = service.client.post("/api/v1/collection/start", json=body)
    assert answer.status_code == 202, answer.text
    told: dict[str, object] = answer.json()
    return told


def status(service: Service) -> dict[str, dict[str, object]]:
    rows = service.client.get("/api/v1/collection/status").json()["collectors"]
    return {row["venue"]: row for row in rows}


def test_a_start_is_wanted_and_the_supervisor_is_told(start: Callable[..., Service], part: Part) -> None:
    supervisor = part("supervisor", parts=[])
    service = start()
    assert start_collector(service, venue="kraken") == {
        "venue": "kraken", "protocol": "kraken", "instruments": ["BTC-USD", "ETH-USD"],
        "wanted": True, "changed": True,
    }  # fmt: skip
    assert {"op": "reconcile"} in supervisor.asked
    count = supervisor.asked.count({"op": "reconcile"})
    assert start_collector(service, venue="kraken")["changed"] is False
    assert supervisor.asked.count({"op": "reconcile"}) == count
    assert start_collector(service, venue="sim-binance")["instruments"] == []
    stop = service.client.delete("/api/v1/collection/stop", params={"venue": "kraken"})
    assert (stop.status_code, stop.json()["wanted"], stop.json()["changed"]) == (202, False, True)
    assert (
        service.client.delete("/api/v1/collection/stop", params={"venue": "kraken"}).json()["changed"]
        is False
    )
    kinds = [row["kind"] for row in service.client.get("/api/v1/events").json()["items"]]
    assert kinds == ["collector_started", "collector_started", "collector_stopped"]


def test_other_instruments_are_wanted_and_the_supervisor_tells_the_collector(
    start: Callable[..., Service], part: Part
) -> None:
    supervisor, collector = part("supervisor", parts=[]), part("collector-kraken", venue="kraken")
    service = start()
    start_collector(service, venue="kraken")
    told = start_collector(service, venue="kraken", instruments=["btc/usd", "SOL-USD.kraken", "BTC-USD"])
    assert told["instruments"] == ["BTC-USD", "SOL-USD"]
    assert supervisor.asked.count({"op": "reconcile"}) == 2
    # One voice: what a request tells a collector that is just starting would be lost.
    assert not [said for said in collector.asked if said["op"] == "configure"]
    # What was chosen last time stands after a stop.
    service.client.delete("/api/v1/collection/stop", params={"venue": "kraken"})
    assert start_collector(service, venue="kraken")["instruments"] == ["BTC-USD", "SOL-USD"]


@pytest.mark.parametrize(
    ("body", "status_code", "code"),
    [
        ({"venue": "krakn"}, 404, "venue_unknown"),
        ({"venue": "kraken", "protocol": "fix"}, 404, "protocol_unknown"),
        ({"venue": "sim-foo", "protocol": "kraken"}, 409, "protocol_fixed"),
        ({"venue": "sim-kraken", "protocol": "binance"}, 409, "protocol_fixed"),
        ({"venue": "Kraken"}, 422, "parameter_invalid"),
        ({"venue": "kraken/../../x"}, 422, "parameter_invalid"),
        ({"venue": "kraken", "url": "http://169.254.169.254/"}, 422, "parameter_invalid"),
        ({"venue": "kraken", "instruments": ["BTC"]}, 422, "instrument_invalid"),
        ({"venue": "kraken", "instruments": ["A" * 65]}, 422, "parameter_invalid"),
        ({"venue": "kraken", "instruments": ["A-B"] * 501}, 422, "parameter_invalid"),
        ({}, 422, "parameter_invalid"),
    ],
)
def test_what_cannot_be_wanted_changes_nothing(
    service: Service, body: dict[str, object], status_code: int, code: str
) -> None:
    before = service.client.get("/api/v1/events").json()
    answer = service.client.post("/api/v1/collection/start", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status_code, code)
    assert service.client.get("/api/v1/events").json() == before


def test_a_stop_of_a_stranger_is_a_404(service: Service) -> None:
    answer = service.client.delete("/api/v1/collection/stop", params={"venue": "nobody"})
    assert (answer.status_code, answer.json()["code"]) == (404, "venue_unknown")


def test_status_is_what_parts_say_with_what_they_cost(start: Callable[..., Service], part: Part) -> None:
    part("collector-sim-kraken", venue="sim-kraken", protocol="kraken", messages_per_s=66.5, records=12,
         since_ns=1795275432436746116, last_message_ns=1795275432436746117, next_try_ns=None,
         instruments=["BTC-USD.sim-kraken"], lag_p99_ns=31000, gaps_open=1)  # fmt: skip
    part("recorder", metrics={"rows": 5})
    service = start()
    start_collector(service, venue="sim-kraken")
    start_collector(service, venue="kraken")
    deadline = time.monotonic() + 10
    while True:
        rows = status(service)
        if len(rows["sim-kraken"]["history"]) >= 2 and rows["sim-kraken"]["cpu_percent"] is not None:  # type: ignore[arg-type]
            break
        assert time.monotonic() < deadline
        time.sleep(0.05)
    live = rows["sim-kraken"]
    assert live["state"] == "live"
    assert live["wanted"] is True
    assert live["messages_per_s"] == 66.5
    # Beyond 2^53: a JSON number would lose the last digits on its way into a page.
    assert (live["since_ns"], live["last_message_ns"]) == ("1795275432436746116", "1795275432436746117")
    assert live["next_try_ns"] is None
    assert live["rss_bytes"] > 1 << 20  # type: ignore[operator]
    assert live["history"][-1]["messages_per_s"] == 66.5  # type: ignore[index]
    waiting = rows["kraken"]
    assert (waiting["wanted"], waiting["state"], waiting["pid"]) == (True, "starting", None)
    whole = service.client.get("/api/v1/collection/status").json()
    assert whole["pipeline"]["collectors_live"] == 1
    assert whole["pipeline"]["collectors_wanted"] == 2
    assert whole["pipeline"]["gaps_open"] == 1
    assert {row["part"] for row in whole["parts"]} == {"recorder", "service"}


@pytest.mark.alone
def test_a_part_that_hangs_costs_its_timeout_only(
    start: Callable[..., Service], home: Home, part: Part
) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(home.control("collector-kraken")))
        deaf.listen()
        part("collector-sim-kraken", venue="sim-kraken")
        service = start()
        start_collector(service, venue="kraken")
        started = time.monotonic()
        rows = status(service)
        assert time.monotonic() - started < 1.0
        assert rows["kraken"]["error"]["code"] == "part_silent"  # type: ignore[index]
        assert rows["sim-kraken"]["state"] == "live"


def test_a_socket_follows_the_status(start: Callable[..., Service], part: Part) -> None:
    part("collector-sim-kraken", venue="sim-kraken")
    service = start()
    with connect(
        f"ws://{service.address}/ws/collection", additional_headers=service.bearer, proxy=None
    ) as socket:
        for _ in range(2):
            said = json.loads(socket.recv(5))
            assert said["type"] == "collection"
            assert said["collectors"][0]["venue"] == "sim-kraken"


def test_logs_are_the_last_lines_of_a_known_collector(start: Callable[..., Service], home: Home) -> None:
    lines = [
        json.dumps({"ts": i, "level": "info", "part": "collector-kraken", "message": f"m{i}", "x": i})
        for i in range(300)
    ]
    home.log("collector-kraken").write_text("\n".join([*lines, "not json"]) + "\n")
    home.log("service").write_text('{"message":"not yours"}\n')
    service = start()
    items = service.client.get("/api/v1/collection/kraken/logs", params={"limit": 3}).json()["items"]
    assert [item["message"] for item in items] == ["m298", "m299", "not json"]
    assert items[0]["ts"] == "298"
    for name in ("service", "../service", "..%2Fservice", "collector-kraken", "kraken%00", "nobody"):
        answer = service.client.get(f"/api/v1/collection/{name}/logs")
        assert answer.status_code == 404, name
        assert "not yours" not in answer.text
    start_collector(service, venue="sim-kraken")
    assert service.client.get("/api/v1/collection/sim-kraken/logs").json() == {"items": []}


def test_the_tail_of_a_long_log_begins_with_a_whole_line(home: Home) -> None:
    log = home.log("collector-kraken")
    log.write_text("".join(json.dumps({"message": "m" * 1000, "ts": i}) + "\n" for i in range(2000)))
    items = tail(log, 2000)
    assert 100 < len(items) < 2000
    assert items[-1]["ts"] == "1999"
    assert all(item["message"] == "m" * 1000 for item in items)


def test_metrics_of_all_parts_are_one_exposition(start: Callable[..., Service], part: Part) -> None:
    text = (
        "# HELP tidemill_messages_total Messages.\n# TYPE tidemill_messages_total counter\n"
        'tidemill_messages_total{venue="a b",x="}"} 5\ntidemill_plain 1.5e3\nnot a sample\n'
    )
    part("collector-a", text)
    part("collector-b", text)
    service = start()
    answer = service.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    lines = answer.text.splitlines()
    assert lines.count("# TYPE tidemill_messages_total counter") == 1
    first = lines.index('tidemill_messages_total{part="collector-a",venue="a b",x="}"} 5')
    assert lines[first + 1] == 'tidemill_messages_total{part="collector-b",venue="a b",x="}"} 5'
    assert 'tidemill_plain{part="collector-b"} 1.5e3' in lines
    assert 'tidemill_part_up{part="collector-a"} 1' in lines
    # What should be there and does not answer is down, not missing.
    assert 'tidemill_part_up{part="recorder"} 0' in lines
    assert "not a sample" not in answer.text
    families = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(families) == len(set(families))


def test_counters_count_to_the_unit(service: Service) -> None:
    def counted() -> float:
        for line in service.client.get("/metrics").text.splitlines():
            if (
                line.startswith("tidemill_http_requests_total{")
                and 'route="/api/v1/jobs",status="200"' in line
            ):
                return float(line.rsplit(" ", 1)[1])
        return 0

    before = counted()
    for _ in range(25):
        service.client.get("/api/v1/jobs")
    assert counted() - before == 25


def test_requests_are_measured_by_their_full_template(service: Service) -> None:
    service.client.get("/api/v1/collection/nobody/logs")
    service.client.get("/api/v1/jobs/CANARY")
    text = service.client.get("/metrics").text
    assert 'method="GET",route="/api/v1/collection/{venue}/logs",status="404"' in text
    assert 'method="GET",route="/api/v1/jobs/{id}",status="404"' in text
    assert "CANARY" not in text
    assert os.environ.get("HOME", "/") not in text


def test_a_polled_provider_is_started_again_with_its_own_symbols() -> None:
    before = Collector("polygon", POLL, ("AAPL", "X:BTCUSD"), wanted=False)
    assert _asked(CollectionStart(venue="polygon"), before).instruments == ("AAPL", "X:BTCUSD")
    other = _asked(CollectionStart(venue="polygon", instruments=["F", "F"]), before)
    assert (other.protocol, other.instruments) == (POLL, ("F",))
