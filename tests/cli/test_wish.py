"""The `[[collector]]` tables of DIR/tidemill.toml: taken as meant, or refused with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidemill.cli import wish
from tidemill.errors import ConfigError, ConflictError
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
    assert wish.parse_instruments("aapl,AAPL.alpaca", "alpaca", "alpaca") == ("AAPL",)


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
