"""Jobs over REST: submitted, watched, cancelled, with a real worker and without one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable

from tests.service.conftest import Service
from tests.service.test_event import follow
from tidemill.home import Home
from tidemill.metadata import Metadata, job

FIELDS = {
    "id", "kind", "state", "progress", "owner", "created", "started", "ended", "detail", "error", "priority",
    "attempts", "attempts_max", "note", "done", "total", "unit", "rate", "eta_s", "cancel_asked", "result",
}  # fmt: skip


def error(answer: object) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]  # type: ignore[attr-defined]


def test_a_job_is_submitted_listed_and_cancelled_without_a_worker(service: Service) -> None:
    answer = service.client.post("/api/v1/jobs", json={"kind": "tidy", "priority": 2, "key": "k"})
    assert answer.status_code == 202
    first = answer.json()
    assert set(first) == FIELDS
    assert answer.headers["Location"] == f"/api/v1/jobs/{first['id']}"
    assert (first["state"], first["priority"], first["attempts_max"]) == ("queued", 2, 3)
    assert service.client.post("/api/v1/jobs", json={"kind": "tidy", "key": "k"}).json()["id"] == first["id"]
    assert error(service.client.post("/api/v1/jobs", json={"kind": "verify", "key": "k"})) == (
        409,
        "key_used",
    )
    assert service.client.get(answer.headers["Location"]).json() == first
    other = service.client.post("/api/v1/jobs", json={"kind": "verify"}).json()
    for query, expected in (("kind=tidy", [first["id"]]), ("state=queued&kind=verify", [other["id"]])):
        items = service.client.get(f"/api/v1/jobs?{query}").json()["items"]
        assert [one["id"] for one in items] == expected
    assert service.client.get("/api/v1/jobs?owner=nobody").json() == {"items": [], "next": None}
    page = service.client.get("/api/v1/jobs?limit=1&state=queued").json()
    assert page["items"][0]["id"] == other["id"]
    rest = service.client.get(f"/api/v1/jobs?limit=1&state=queued&cursor={page['next']}").json()
    assert rest["items"][0]["id"] == first["id"]
    assert error(service.client.get(f"/api/v1/jobs?kind=tidy&cursor={page['next']}")) == (
        422,
        "cursor_invalid",
    )
    for _ in range(2):
        answer = service.client.post(f"/api/v1/jobs/{other['id']}/cancel")
        assert (answer.status_code, answer.json()["state"]) == (202, "cancelled")
    metrics = service.client.get("/metrics").text
    assert 'tidemill_jobs{part="service",kind="tidy",state="queued"} 1' in metrics
    assert "tidemill_jobs_oldest_waiting_seconds" in metrics


def test_what_cannot_be(service: Service) -> None:
    def post(body: dict[str, object]) -> tuple[int, str]:
        return error(service.client.post("/api/v1/jobs", json=body))

    assert post({"kind": "tidi"}) == (404, "kind_unknown")
    assert post({"kind": "../../etc/passwd"}) == (404, "kind_unknown")
    assert post({"kind": "api"}) == (404, "kind_unknown")
    assert post({"kind": "tidy", "detail": {"a": 1}}) == (422, "detail_unfit")
    assert post({"kind": "export", "detail": {"kind": "bars", "instrument": "x", "format": "exe"}}) == (
        422,
        "detail_unfit",
    )
    assert post({"kind": "export", "detail": {"kind": "bars", "instrument": "x", "interval": "1q"}}) == (
        422,
        "interval_invalid",
    )
    assert post({"kind": "tidy", "priority": 11}) == (422, "parameter_invalid")
    assert post({"kind": "tidy", "colour": "red"}) == (422, "parameter_invalid")
    for answer in (
        service.client.get("/api/v1/jobs/nobody"),
        service.client.get("/api/v1/jobs/nobody/logs"),
        service.client.post("/api/v1/jobs/nobody/cancel"),
    ):
        assert error(answer) == (404, "job_unknown")
    assert error(service.client.get("/api/v1/jobs?state=tired")) == (422, "parameter_invalid")
    assert service.stranger.post("/api/v1/jobs", json={"kind": "tidy"}).status_code == 401


def test_too_many_that_wait_are_refused(start: Callable[..., Service], home: Home) -> None:
    service = start({"TIDEMILL_JOBS_QUEUED_MAX": "2"})
    for _ in range(2):
        assert service.client.post("/api/v1/jobs", json={"kind": "tidy"}).status_code == 202
    answer = service.client.post("/api/v1/jobs", json={"kind": "tidy"})
    assert error(answer) == (429, "jobs_too_many")
    assert int(answer.headers["Retry-After"]) >= 1


def test_logs_are_read_on_from_where_one_was(service: Service) -> None:
    metadata = Metadata.open(service.home.database)
    with metadata.write() as connection:
        name = job.submit(connection, "verify", owner="x")[0].id
        mine = job.claim(connection, "w", lease_s=60, job_id=name)
        assert mine is not None
        job.log(connection, name, mine.token, [(n, "info", f"line {n}") for n in range(1, 6)])
    metadata.close()
    page = service.client.get(f"/api/v1/jobs/{name}/logs?limit=3").json()
    assert [line["text"] for line in page["items"]] == ["line 1", "line 2", "line 3"]
    assert page["items"][0] == {"ts": "1", "level": "info", "text": "line 1"}
    rest = service.client.get(f"/api/v1/jobs/{name}/logs?after={page['next']}").json()
    assert [line["text"] for line in rest["items"]] == ["line 4", "line 5"]
    end = service.client.get(f"/api/v1/jobs/{name}/logs?after={rest['next']}").json()
    assert end == {"items": [], "next": rest["next"]}


def test_a_worker_of_this_home_runs_it_and_its_events_tell(start: Callable[..., Service], home: Home) -> None:
    service = start()
    worker = subprocess.Popen(
        [sys.executable, "-m", "tidemill", "worker", "--home", str(home.path), "--supervised"],
        stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ},
    )  # fmt: skip
    try:
        with follow(service) as socket:
            socket.recv(10)
            name = service.client.post(
                "/api/v1/jobs", json={"kind": "history", "detail": {"venues": ["sim-kraken"], "days": 1}}
            ).json()["id"]
            told = []
            end = time.monotonic() + 90
            while time.monotonic() < end and (not told or told[-1]["state"] != "done"):
                said = json.loads(socket.recv(90))
                if said["kind"] == "job_progress" and said["subject"] == name:
                    told.append(said["data"])
        assert told[0]["state"] == "queued"
        assert told[-1]["state"] == "done"
        assert set(told[-1]) == {
            "kind", "state", "progress", "note", "rate", "eta_s", "done", "total", "unit", "attempts",
            "cancel_asked",
        }  # fmt: skip
        done = service.client.get(f"/api/v1/jobs/{name}?time=iso").json()
        assert done["result"]["instruments"] > 0
        assert done["ended"].endswith("Z")
        assert (
            'tidemill_worker_attempts_total{part="worker",outcome="done"} 1'
            in service.client.get("/metrics").text
        )
    finally:
        worker.terminate()
        assert worker.wait(20) == 0


def test_no_word_of_a_client_breaks_the_service(service: Service) -> None:
    """Among them what PostgreSQL does not take."""
    for word in ("\0", "a\0b", "\ud800", "[/red]", "' or 1=1 --"):
        raw = json.dumps({"kind": "verify", "key": word, "detail": {"what": word}})
        answer = service.client.post(
            "/api/v1/jobs", content=raw, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code in (202, 422), answer.text
        assert (answer.status_code == 422) == ("\0" in word or word == "\ud800"), answer.text
    for path in ("/jobs?kind=%00", "/jobs?owner=a%00", "/jobs/%00", "/jobs/%00/logs", "/jobs/%ed%a0%80"):
        answer = service.client.get(f"/api/v1{path}")
        assert answer.status_code in (404, 422), (path, answer.text)
    for raw in (
        '{"kind":"history","detail":{"days":NaN}}',
        '{"kind":"history","detail":{"days":1e999}}',
        '{"kind":"\\ud800"}',
        '{"kind":"../tidy"}',
        '{"kind":"tidy","detail":{"a":' + "[" * 5000 + "]" * 5000 + "}}",
    ):
        answer = service.client.post(
            "/api/v1/jobs", content=raw, headers={"Content-Type": "application/json"}
        )
        assert 400 <= answer.status_code < 500, answer.text
