"""The `[[collector]]` tables of DIR/tidemill.toml: taken as meant, or refused with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidemill.cli import wish
from tidemill.errors import ConfigError, ConflictError, UsageError
from tidemill.home import Home
from tidemill.metadata import Metadata


def configured(tmp_path: Path, text: str) -> list[wish.Collector]:
    (tmp_path / "tidemill.toml").write_text(text)
    return wish.from_config(Home.at(tmp_path))


def test_a_collector_of_the_file(tmp_path: Path) -> None:
    text = '[[collector]]\nprotocol = "kraken"\nname = "desk"\ninstruments = ["btc/usd", "BTC-USD.desk"]\n'
    [found] = configured(tmp_path, text)
    assert (found.name, found.protocol, found.instruments) == ("desk", "kraken", ("BTC-USD",))


def test_a_seller_has_stocks_and_its_feed_is_its_protocol(tmp_path: Path) -> None:
    text = '[[collector]]\nprotocol = "alpaca-sip"\nname = "alpaca"\ninstruments = ["brk.b", "btc/usd"]\n'
    [found] = configured(tmp_path, text)
    assert (found.name, found.protocol, found.instruments) == ("alpaca", "alpaca-sip", ("BRK.B", "BTC-USD"))
    assert wish.parse_venue("sim-polygon").instruments == ("AAPL", "BTC-USD")
    assert wish.parse_instruments("aapl,AAPL.alpaca", wish.parse_venue("alpaca")) == ("AAPL",)
    with pytest.raises(UsageError) as refused:
        wish.parse_instruments("A B", wish.parse_venue("polygon"))
    assert "AAPL" in refused.value.hint


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('[[collector]]\nprotocol = "kraken"\nname = "../up"', "name"),
        ('[[collector]]\nprotocol = "kraken"\nname = 7', "name"),
        ('[[collector]]\nprotocol = "kraken"\ninstruments = "BTC-USD"', "instruments"),
        ('[[collector]]\nprotocol = "kraken"\ninstruments = [1]', "instruments"),
        ('[[collector]]\nprotocol = "kraken"\ninstruments = ["BTC"]', "'BTC'"),
        ('[[collector]]\nprotocol = "kraken"\nurl = 5', "url"),
        ('[[collector]]\nprotocol = "kraken"\nname = "sim-desk"', "sim-kraken"),
        ('[[collector]]\nprotocol = "kraken"\nname = "sim-binance"', "sim-kraken"),
        ('[[collector]]\nprotocol = ["kraken"]', "protocol"),
        ('[[collector]]\nprotocol = "ftx"', "'ftx'"),
        ('[[collector]]\nprotocol = "kraken"\nfoo = 1', "'foo'"),
        ("collector = [1]", "tables"),
        ("collector = 1", "list"),
        ("[[collector", "tidemill.toml"),
        ('[[colector]]\nprotocol = "kraken"', "'colector'"),
        ("port = 9000", "'port'"),
    ],
)
def test_what_cannot_be_meant(tmp_path: Path, text: str, word: str) -> None:
    with pytest.raises(ConfigError) as refused:
        configured(tmp_path, text)
    assert word in refused.value.message
    assert "tidemill.toml" in refused.value.message


def test_a_venue_of_the_file_keeps_the_protocol_it_has(tmp_path: Path) -> None:
    metadata = Metadata.open(tmp_path / "tidemill.db")
    wish.set_wanted(metadata, None, [wish.Collector("desk", "kraken", ("BTC-USD",))])
    with pytest.raises(ConflictError) as refused:
        wish.set_wanted(metadata, None, [wish.Collector("desk", "binance", ("BTC-USDT",))])
    assert refused.value.code == "protocol_fixed"
    assert [row.protocol for row in metadata.collectors()] == ["kraken"]
    metadata.close()


def test_a_provider_takes_symbols_as_it_spells_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IQFEED_HOST", "IQFEED_PORT_QUOTE"):
        monkeypatch.delenv(name, raising=False)
    text = '[[collector]]\nprotocol = "iqfeed"\ninstruments = ["aapl", "BRK.B.iqfeed", "@ES#"]\n'
    [found] = configured(tmp_path, text)
    assert found.instruments == ("AAPL", "BRK.B", "@ES#")
    iqfeed = wish.parse_venue("iqfeed")
    assert (iqfeed.instruments, iqfeed.url) == (("AAPL", "SPY"), None)
    assert wish.parse_instruments("spy, SPY.iqfeed,F", iqfeed) == ("SPY", "F")
    with pytest.raises(UsageError, match="symbol"):
        wish.parse_instruments("A B", iqfeed)
    monkeypatch.setenv("IQFEED_HOST", "192.0.2.7")
    monkeypatch.setenv("IQFEED_PORT_QUOTE", "15009")
    assert wish.parse_venue("iqfeed").url == "tcp://192.0.2.7:15009"
    simulated = wish.parse_venue("sim-iqfeed")
    assert (simulated.url, simulated.simulated) == (None, True)


def test_a_polled_collector_of_the_file(tmp_path: Path) -> None:
    text = '[[collector]]\nprotocol = "poll"\nname = "polygon"\ninstruments = ["AAPL", "X:BTCUSD", "AAPL"]\n'
    [found] = configured(tmp_path, text)
    assert (found.name, found.protocol, found.instruments) == ("polygon", "poll", ("AAPL", "X:BTCUSD"))
    assert wish.polled_names(found) == {"AAPL.polygon", "BTC-USD.polygon"}


@pytest.mark.parametrize(
    ("rest", "word"),
    [
        ('name = "polygon"', "instruments"),
        ('instruments = ["AAPL"]', "name"),
        ('name = "polygn"\ninstruments = ["AAPL"]', "polygn"),
        ('name = "polygon"\ninstruments = ["no such"]', "no such"),
        ('name = "polygon"\ninstruments = []', "no symbol"),
        ('name = "polygon"\ninstruments = ["AAPL"]\nurl = "http://h"', "nothing else"),
    ],
)
def test_what_cannot_be_polled(tmp_path: Path, rest: str, word: str) -> None:
    with pytest.raises(ConfigError) as refused:
        configured(tmp_path, f'[[collector]]\nprotocol = "poll"\n{rest}')
    assert word in refused.value.message


def test_a_venue_is_polled_or_streamed_one_after_the_other(tmp_path: Path) -> None:
    metadata = Metadata.open(tmp_path / "tidemill.db")
    wish.set_wanted(metadata, None, [wish.Collector("kraken", "kraken", ("BTC-USD",))])
    wish.set_wanted(metadata, None, [wish.parse_polled("kraken", "BTC/USD")])
    [row] = wish.wanted(metadata)
    assert (row.protocol, row.instruments) == ("poll", ("BTC/USD",))
