"""What of ccxt needs no ccxt; the rest is in test_opening.py, against a simulated venue."""

from __future__ import annotations

import asyncio
import itertools
import sys
from typing import Any

import pytest

from tidemill import providers
from tidemill.errors import ConfigError, UsageError
from tidemill.providers.api import Ask, Chunk

MINUTE = 60_000_000_000


def ccxt() -> Any:
    return providers.load("ccxt")("ccxt", None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("okx:BTC/USDT", "OKX.BTC-USDT.ccxt"),
        ("kraken:btc/usd", None),
        ("okx:BTC/USDT:USDT", "OKX.BTC-USDT_USDT.ccxt"),
        ("okx:BTC/USDT:USDT-251226", "OKX.BTC-USDT_USDT.251226.ccxt"),
        ("BTC/USDT", None),
        ("../x:A/B", None),
    ],
)
def test_an_instrument_names_its_exchange(symbol: str, name: str | None) -> None:
    if name is None:
        with pytest.raises(UsageError, match="exchange and a pair"):
            ccxt().instrument(symbol)
    else:
        assert ccxt().instrument(symbol) == name


def test_chunks_abut() -> None:
    ask = Ask("okx:BTC/USDT", "bars", 5, 1000 * MINUTE, "1m")
    parts = ccxt().chunks(ask)
    assert [part.rows for part in parts] == [299, 300, 300, 100]
    assert all(a.end == b.start for a, b in itertools.pairwise(parts))
    with pytest.raises(UsageError, match="no trades"):
        ccxt().chunks(Ask("okx:BTC/USDT", "trades", 0, 1))


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ccxt.async_support", None)
    monkeypatch.setitem(sys.modules, "ccxt", None)
    ask = Ask("okx:BTC/USDT", "bars", 0, MINUTE, "1m")
    with pytest.raises(ConfigError, match="ccxt") as caught:
        asyncio.run(ccxt().bars(ask, Chunk(0, MINUTE, 1, 1)))
    assert "tidemill[ccxt]" in caught.value.hint
