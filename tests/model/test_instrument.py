"""Names of instruments."""

import pytest

from tidemill.errors import ConflictError, NotFoundError, UsageError
from tidemill.model.instrument import Instrument, collected, resolve, venue_of

KNOWN = ["BTC-USD.kraken", "BTC-USD.coinbase", "ETH-USD.kraken", "BRK.B-USD.polygon"]


def test_venue_follows_the_last_dot() -> None:
    assert venue_of("BRK.B-USD.polygon") == "polygon"
    for text in ("BTC-USD", ".kraken", "BTC-USD."):
        with pytest.raises(UsageError):
            venue_of(text)


def test_what_is_collected_may_be_a_stock_where_there_are_stocks() -> None:
    for text, name in (
        ("aapl", "AAPL"), ("BRK.B.alpaca", "BRK.B"), ("AAPL.alpaca", "AAPL"), ("btc/usd", "BTC-USD"),
        ("BTC-USD.alpaca", "BTC-USD"),
    ):  # fmt: skip
        assert collected(text, "alpaca", stocks=True) == name
    for text in ("A B", "1X", "", "AAPL!"):
        with pytest.raises(UsageError):
            collected(text, "alpaca", stocks=True)
    with pytest.raises(UsageError):
        collected("AAPL", "kraken", stocks=False)


def test_resolve() -> None:
    assert resolve("BTC-USD.kraken", KNOWN) == "BTC-USD.kraken"
    assert resolve("eth/usd", KNOWN) == "ETH-USD.kraken"
    with pytest.raises(ConflictError) as conflict:
        resolve("BTC/USD", KNOWN)
    assert conflict.value.hint == "name one of: BTC-USD.coinbase, BTC-USD.kraken"
    with pytest.raises(NotFoundError) as missing:
        resolve("BTC-USD.krakn", KNOWN)
    assert "BTC-USD.kraken" in missing.value.hint


def test_of_reads_what_is_there() -> None:
    instrument = Instrument.of({"number": 1048577, "name": "BTC-USD.kraken", "symbol": "BTC/USD"})
    assert (instrument.venue, instrument.tick) == ("kraken", "")
