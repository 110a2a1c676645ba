"""A provider by its name: its limits, its keys, its address."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tidemill import providers
from tidemill.errors import ConfigError, NotFoundError
from tidemill.home import Home
from tidemill.providers import opening
from tidemill.providers.api import Limits


def test_a_name_that_nobody_plays_is_not_found(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    with pytest.raises(NotFoundError, match="no simulator"):
        providers.open("sim-kraken", home)
    with pytest.raises(NotFoundError, match="krakn"):
        providers.open("krakn", home)


def test_every_file_is_a_provider_or_said_to_be_none() -> None:
    assert {"kraken", "coinbase", "binance", "polygon", "alpaca", "ccxt"} <= set(providers.names())
    for name in providers.names():
        assert providers.load(name).summary


def test_the_address_of_a_simulated_one_is_the_simulators(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    home.run.mkdir()
    played = {"sim-polygon": {"rest": "http://127.0.0.1:7001", "stream": "ws://127.0.0.1:7002"},
              "sim-iqfeed": {"admin": "127.0.0.1:7003"}}  # fmt: skip
    (home.run / "sim.json").write_text(json.dumps({"providers": played}))
    assert "127.0.0.1:7001" in repr(providers.open("sim-polygon", home)._http)  # type: ignore[attr-defined]
    assert json.loads(opening._simulated_at("sim-iqfeed", home)) == played["sim-iqfeed"]


def test_a_simulated_one_is_not_handed_the_real_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYGON_API_KEY", "REAL-1")
    provider: Any = providers.open("sim-polygon", Home.at(tmp_path), url="http://127.0.0.1:1")
    assert provider.keys() == {"key": "simulated"}
    real: Any = providers.open("polygon", Home.at(tmp_path))
    assert real.keys() == {"key": "REAL-1"}
    assert not any("REAL-1" in path.name for path in (tmp_path / "run").iterdir())


def test_two_keys_have_two_buckets_and_one_key_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def waits(key: str) -> float:
        monkeypatch.setenv("POLYGON_API_KEY", key)
        return opening.gate("polygon", providers.load("polygon"), Home.at(tmp_path))._keeper.take(1)

    assert waits("a") == 0
    assert waits("a") > 0
    assert waits("b") == 0


def test_a_plan_that_allows_more_is_said_by_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Limits(per_s=1.0, burst=1, workers=9)
    assert opening.limited("polygon", limits) == limits
    monkeypatch.setenv("TIDEMILL_LIMIT_POLYGON", "300/minute")
    allowed = opening.limited("polygon", limits)
    assert allowed.burst + allowed.per_s * 60 <= 300
    assert (allowed.burst, allowed.workers) == (60, 9)
    monkeypatch.setenv("TIDEMILL_LIMIT_POLYGON", "many")
    with pytest.raises(ConfigError, match="TIDEMILL_LIMIT_POLYGON"):
        opening.limited("polygon", limits)
