"""`Client` and `Remote` are one interface: the same calls give the same frames."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from inspect import signature
from typing import Any

import numpy as np
import polars as pl
import pytest

import tidemill as tm
from tests.service.conftest import Service, short_home
from tests.service.journal import MINUTE, START, Venue
from tidemill import remote, wire
from tidemill.errors import NotFoundError, UsageError
from tidemill.remote import Remote

SECOND = MINUTE // 60
NAME = "BTC-USD.sim-kraken"
CALLS = (
    "instruments",
    "bars",
    "indicator",
    "trades",
    "quotes",
    "book",
    "gaps",
    "datasets",
    "stream",
    "close",
)


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[tm.Client, Remote]]:
    home = short_home()
    venue = Venue.make(home, "sim-kraken", "BTC-USD", "ETH-USD")
    for one in ("BTC-USD", "ETH-USD"):
        venue.write(venue.trades(one, 300, START, SECOND))
        venue.write(venue.quotes(one, 150, START, SECOND))
        venue.write(venue.book(one, START))
    gap = np.zeros(2, wire.RECORD)
    gap["kind"], gap["flags"], gap["instrument"] = wire.KIND_GAP, [1, 2], venue.numbers["BTC-USD"]
    gap["price_scale"], gap["size_scale"], gap["price"], gap["size"] = 1, 1, [100, 104], [-1, 3]
    gap["id"] = [0, venue.writer.next_sequence]
    gap["ts_event"] = gap["ts_recv"] = [START + 200 * SECOND, START + 210 * SECOND]
    venue.write(gap)
    venue.write(venue.trades("BTC-USD", 20, START + 301 * SECOND, SECOND, seed=2))
    service = Service(home)
    with tm.connect(home.path) as here, tm.connect(url=service.url, token=service.token) as there:
        assert isinstance(here, tm.Client)
        assert isinstance(there, Remote)
        until = time.monotonic() + 20
        while there.gaps().is_empty() and time.monotonic() < until:
            time.sleep(0.1)  # the ledger takes it in
        yield here, there
    service.stop()
    venue.writer.close()
    shutil.rmtree(home.path, ignore_errors=True)


@pytest.mark.parametrize("name", CALLS)
def test_both_have_the_same_calls(name: str) -> None:
    asked = signature(getattr(tm.Client, name)).parameters
    if name != "stream":  # which is refused, however it is asked
        assert list(signature(getattr(Remote, name)).parameters) == list(asked)
    assert {one for one in dir(tm.Client) if not one.startswith("_")} - {"home", "view"} <= set(dir(Remote))


ASKS: dict[str, Callable[[Any], pl.DataFrame]] = {
    "instruments": lambda td: td.instruments(),
    "instruments of a venue": lambda td: td.instruments("sim-kraken"),
    "gaps": lambda td: td.gaps(),
    "gaps of an instrument": lambda td: td.gaps("BTC-USD"),
    "no gaps": lambda td: td.gaps("ETH-USD"),
    "datasets": lambda td: td.datasets(),
    "newest bars": lambda td: td.bars(NAME, "1m"),
    "a name without its venue": lambda td: td.bars("BTC/USD", "5s"),
    "with the open bar": lambda td: td.bars(NAME, "1m", current=True),
    "all bars of a span": lambda td: td.bars(NAME, "1s", start=START, end=START + 250 * SECOND),
    "exact bars": lambda td: td.bars(NAME, "1s", start=START, exact=True),
    "some bars": lambda td: td.bars(NAME, "1s", limit=70),
    "the first bars": lambda td: td.bars(NAME, "1s", start=START, limit=70),
    "no bars": lambda td: td.bars(NAME, "1s", end=START),
    "newest trades": lambda td: td.trades(NAME),
    "all trades of a span": lambda td: td.trades(NAME, start=START + 10 * SECOND, end=START + 200 * SECOND),
    "exact trades": lambda td: td.trades(NAME, limit=90, exact=True),
    "no trades": lambda td: td.trades(NAME, start=START + MINUTE * 100),
    "newest quotes": lambda td: td.quotes(NAME),
    "some quotes": lambda td: td.quotes(NAME, limit=7),
    "the first quotes": lambda td: td.quotes(NAME, start=START, limit=7),
    "exact quotes": lambda td: td.quotes(NAME, start=START, exact=True),
}


@pytest.mark.parametrize("ask", ASKS)
def test_both_give_the_same_frame(
    both: tuple[tm.Client, Remote], ask: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_PAGE", 40)
    here, there = (ASKS[ask](one) for one in both)
    assert there.schema == here.schema
    assert there.equals(here), f"{here}{there}"
    assert ask.startswith("no ") or ask == "datasets" or not here.is_empty()


def test_both_give_the_same_book(both: tuple[tm.Client, Remote]) -> None:
    here, there = both
    for exact in (False, True):
        assert there.book(NAME, depth=3, exact=exact) == here.book(NAME, depth=3, exact=exact)
    assert there.book(NAME, at=START + MINUTE * 60).bids == here.book(NAME, at=START + MINUTE * 60).bids


def test_what_rest_does_not_have_is_refused(both: tuple[tm.Client, Remote]) -> None:
    there = both[1]
    asks: list[Callable[[], Any]] = [
        lambda: there.stream(NAME),
        lambda: there.trades(NAME, as_of=START),
        lambda: there.quotes(NAME, as_of=START),
        lambda: there.book(NAME, at=(1, 5)),
        lambda: there.bars(NAME, exact=True, current=True),
    ]
    for ask in asks:
        with pytest.raises(UsageError, match="over REST") as caught:
            ask()
        assert caught.value.hint


def test_both_refuse_the_same(both: tuple[tm.Client, Remote]) -> None:
    for td in both:
        with pytest.raises(NotFoundError, match="no venue is named 'krakn'"):
            td.gaps(venue="krakn")
        with pytest.raises(NotFoundError, match="no instrument is named"):
            td.trades("BTC-USD.krakn")
        with pytest.raises(UsageError, match="limit 0 is below 1"):
            td.trades(NAME, limit=0)
        with pytest.raises(UsageError, match="start and last"):
            td.bars(NAME, start=START, last="1h")


def test_indicators_are_equal_to_the_bit(both: tuple[tm.Client, Remote], monkeypatch: Any) -> None:
    here, there = both
    monkeypatch.setattr(remote, "_PAGE", 70)
    for name, params in (("rsi", {"period": 9}), ("macd", {}), ("obv", {})):
        for asked in (
            {}, {"limit": 100}, {"start": START + 20 * SECOND}, {"current": True},
            {"end": START + 90 * SECOND, "limit": 30}, {"since": START + 30 * SECOND},
        ):  # fmt: skip
            found = here.indicator(name, NAME, "1s", **asked, **params)
            assert found.equals(there.indicator(name, NAME, "1s", **asked, **params)), (name, asked)
            assert found.schema["ts"] == pl.Datetime("ns", "UTC")
    values = here.indicator("rsi", NAME, "1s", period=9)
    assert values["ts"].equals(here.bars(NAME, "1s")["ts"])
    assert values["rsi"].is_null().sum() == 9
    for td in both:
        with pytest.raises(UsageError) as refused:
            td.indicator("rsi", NAME, "1s", perod=9)
        assert refused.value.code == "parameter_invalid"
