"""Studies over REST: started by both names, refused, stopped, resumed, and answered whatever is sent."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tidemill as tm
from tests.research.market import NAME, keep, market
from tests.service.conftest import Service, short_home
from tidemill import sandbox
from tidemill.errors import UsageError
from tidemill.jobs import here
from tidemill.log import Log
from tidemill.metadata import Metadata, strategy
from tidemill.metadata.strategy import Text
from tidemill.service import study as shapes
from tidemill.strategies import sma_cross
from tidemill.strategies.sma_cross import SmaCross

ASK: dict[str, Any] = {
    "strategy": "sma_cross", "instruments": [NAME], "interval": "1h", "end": "2021-01-01", "workers": 1,
    "params": {"fast": "5:15:5", "slow": [40, 60]}, "settings": {"costs": {"taker": "0.0005"}},
}  # fmt: skip


@pytest.fixture(scope="module")
def served() -> Iterator[Service]:
    home = short_home()
    keep(home, market(800))
    running = Service(home)
    yield running
    running.stop()
    shutil.rmtree(home.path, ignore_errors=True)


def error(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_a_study_from_start_to_result(served: Service) -> None:
    client = served.client
    started = client.post("/optimize/", json=ASK)
    assert started.status_code == 202, started.text
    said = shapes.StudyJob(**started.json())
    assert started.headers["Location"] == f"/api/v1/studies/{said.study_id}"
    for path in (f"/optimize/{said.job_id}", f"/optimize/{said.job_id}/", f"/api/v1/studies/{said.study_id}"):
        waiting = shapes.Progress(**client.get(path).json())
        assert (waiting.state, waiting.trials, waiting.trials_wanted, waiting.result) == (
            "queued",
            0,
            6,
            None,
        )
    assert error(client.get(f"/api/v1/studies/{said.study_id}/result")) == (404, "study_open")

    paused = client.post(f"/api/v1/studies/{said.study_id}/pause")
    assert (paused.status_code, shapes.Study(**paused.json()).state) == (202, "paused")
    assert client.get(f"/api/v1/jobs/{said.job_id}").json()["state"] == "cancelled"
    again = shapes.StudyJob(**client.post(f"/api/v1/studies/{said.study_id}/resume").json())
    assert error(client.post(f"/api/v1/studies/{said.study_id}/resume")) == (409, "study_running")
    assert error(client.delete(f"/api/v1/studies/{said.study_id}")) == (409, "study_running")
    metadata = Metadata.of(served.home)
    done = here.finish(served.home, metadata, again.job_id, Log("test"))
    metadata.close()
    assert done.state == "done", done.error
    assert done.result is not None
    assert done.result["trials"] == 6

    shown = shapes.Progress(**client.get(f"/optimize/{again.job_id}").json())
    assert (shown.state, shown.trials) == ("done", 6)
    result = shapes.StudyResult(**client.get(f"/api/v1/studies/{said.study_id}/result").json())
    assert result.verdict["grade"] in ("luck", "doubtful", "holds")
    assert result.honesty["trials"] == 6
    assert result.heatmaps[0]["x"] == "fast"
    assert len(result.parallel["lines"]) == 6
    page = shapes.Trials(**client.get(f"/api/v1/studies/{said.study_id}/trials?limit=4").json())
    rest = shapes.Trials(
        **client.get(f"/api/v1/studies/{said.study_id}/trials?limit=4&cursor={page.next}").json()
    )
    assert [one.number for one in page.items + rest.items] == list(range(6))
    assert rest.next is None
    assert error(client.post(f"/api/v1/studies/{said.study_id}/resume")) == (409, "study_done")
    listed = shapes.Studies(**client.get("/api/v1/studies?state=done&time=iso").json())
    assert [one.id for one in listed.items] == [said.study_id]
    assert client.delete(f"/api/v1/studies/{said.study_id}").status_code == 200
    assert error(client.get(f"/api/v1/studies/{said.study_id}")) == (404, "study_unknown")


def test_a_study_over_rest_is_that_of_a_home(served: Service) -> None:
    asked = {name: ASK[name] for name in ("interval", "end", "params", "settings")}
    with (
        tm.connect(url=served.url, token=served.token) as there,
        tm.connect(served.home.path) as near,
        ThreadPoolExecutor(1) as pool,
    ):
        waiting = pool.submit(there.study, "sma_cross", NAME, **asked)
        metadata = Metadata.of(served.home)
        try:
            while not (queued := served.client.get("/api/v1/jobs?state=queued").json()["items"]):
                assert not waiting.done(), waiting.result()
            here.finish(served.home, metadata, queued[0]["id"], Log("test"))
        finally:
            metadata.close()
        far = waiting.result(timeout=30)
        same = near.study("sma_cross", NAME, **asked, workers=1)
        assert far.best == same.best
        assert far.result["digest"] == same.result["digest"]
        assert far.trials.equals(same.trials)
        with pytest.raises(UsageError, match="class"):
            there.study(SmaCross, NAME)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"strategy": "sma_crss"}, (404, "strategy_unknown")),
        ({"strategy": "/etc/passwd.py"}, (422, "study_invalid")),
        ({"strategy": "../x.py:Y"}, (422, "study_invalid")),
        ({"params": {"fst": "1:2"}}, (422, "parameter_unknown")),
        ({"params": {"fast": "9:5"}}, (422, "space_invalid")),
        ({"settings": {"costs": {"taker": "x"}}}, (422, "costs_invalid")),
        ({"sampler": "magic"}, (422, "parameter_invalid")),
        ({"trials": 10**9}, (422, "parameter_invalid")),
        ({"extra": 1}, (422, "parameter_unknown")),
    ],
)
def test_what_makes_no_sense_is_refused(
    served: Service, change: dict[str, Any], expected: tuple[int, str]
) -> None:
    found = error(served.client.post("/api/v1/studies", json=ASK | change))
    assert found[0] == expected[0]
    if expected[1] not in ("parameter_invalid", "parameter_unknown"):
        assert found[1] == expected[1]


def test_strangers_get_nothing(served: Service) -> None:
    for method, path in (("POST", "/optimize"), ("GET", "/optimize/x"), ("GET", "/api/v1/studies")):
        assert (
            served.stranger.request(method, path, json=ASK if method == "POST" else None).status_code == 401
        )


scalars = st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=20))
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
bodies = st.fixed_dictionaries({}, optional=dict.fromkeys([*shapes.StudyAsk.model_fields, "x"], values))


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(bodies)
def test_no_body_brings_the_service_down(served: Service, body: dict[str, Any]) -> None:
    import json

    text = json.dumps(ASK | {"strategy": "sma_cross"} | body)
    answer = served.client.post("/optimize", content=text, headers={"Content-Type": "application/json"})
    assert answer.status_code < 500, answer.text
    if answer.status_code == 202:
        served.client.post(f"/api/v1/studies/{answer.json()['study_id']}/cancel")


MINE = Path(sma_cross.__file__).read_text() + "# mine\n"


@pytest.mark.skipif(not sandbox.available().ok, reason="this machine cannot isolate")
def test_strategies_of_the_folder_and_of_the_database_are_tried_in_the_sandbox(
    served: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = served.home.path / "strategies"
    folder.mkdir(exist_ok=True)
    (folder / "filed.py").write_text(MINE)
    metadata = Metadata.of(served.home)
    with metadata.write() as connection:
        strategy.create(connection, "kept", Text(MINE), actor="me")
        strategy.change(connection, "kept", Text("nothing"), expected=1, actor="me")
    before = {name for name in sys.modules if name.startswith("tidemill_strategy_")}
    digests = []
    for name, version, named in (
        ("sma_cross", None, "sma_cross"),
        ("filed", None, "filed"),
        ("kept", 1, "kept@1"),
    ):
        body = (
            ASK | {"strategy": name, "params": {"fast": [5, 10]}} | ({"version": version} if version else {})
        )
        started = served.client.post("/api/v1/studies", json=body)
        assert started.status_code == 202, started.text
        said = started.json()
        done = here.finish(served.home, metadata, said["job_id"], Log("test"))
        assert done.state == "done", done.error
        assert done.result is not None
        digests.append(done.result["digest"])
        shown = served.client.get(f"/api/v1/studies/{said['study_id']}").json()
        assert (shown["plan"]["strategy"], shown["family"]) == (named, name)
    assert len(set(digests)) == 1
    assert not {name for name in sys.modules if name.startswith("tidemill_strategy_")} - before
    for change, code in (
        ({"strategy": "kept"}, (422, "strategy_invalid")),
        ({"strategy": "kept", "version": 3}, (404, "version_unknown")),
        ({"strategy": "kept@1"}, (422, "study_invalid")),
        ({"strategy": "sma_cross", "version": 1}, (404, "strategy_unknown")),
    ):
        assert error(served.client.post("/optimize", json=ASK | change)) == code
    # A machine that cannot isolate says so, and runs nothing.
    started = served.client.post("/optimize/", json=ASK | {"strategy": "kept", "version": 1})
    monkeypatch.setenv("PATH", "/nowhere")
    failed = here.finish(served.home, metadata, started.json()["job_id"], Log("test"))
    metadata.close()
    assert failed.error is not None
    assert failed.error["code"] == "sandbox_missing"
