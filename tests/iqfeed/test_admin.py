"""The admin port's lines."""

from __future__ import annotations

import pytest

from tidemill.errors import ConfigError
from tidemill.iqfeed.address import Address
from tidemill.iqfeed.admin import ClientStats, Login, Stats, refused_login


def test_stats() -> None:
    stats = Stats.of("S,STATS,,,0,0,1,0,0,0,,,Not Connected,6.0.0.4,474614,0,0,,0.02,0.02,,")
    assert stats == Stats(False, "6.0.0.4", "474614", 0, 0, 1, 0, 0, 0, 0.0, 0.02)
    line = (
        "S,STATS,66.112.156.228,60002,500,3,4,7,1,2,Nov 20 09:31AM,Nov 20 09:31AM,Connected,6.2.0.25,4,9.5,,,"
        "1,,,"
    )
    stats = Stats.of(line)
    assert stats
    assert stats.connected
    assert (stats.symbols_max, stats.symbols, stats.clients, stats.since_update_s) == (500, 3, 4, 7)
    assert (stats.reconnections, stats.attempted_reconnections) == (1, 2)
    for other in ("S,STATS,", "S,SERVER CONNECTED", "S,STATS,a,b"):
        assert Stats.of(other) is None


def test_client_stats() -> None:
    client = ClientStats.of("S,CLIENTSTATS,3,7,tidemill-history,20241120 093100,0,0,1.5,0.2,33.4,")
    assert client == ClientStats("7", "tidemill-history", 33)
    assert ClientStats.of("S,CLIENTSTATS,3") is None


def test_a_refused_login() -> None:
    assert refused_login("S,INVALID LOGIN,", sent=False)
    for empty in ("S,CURRENT LOGINID,", "S,CURRENT LOGINID,,"):
        assert refused_login(empty, sent=True)
        assert not refused_login(empty, sent=False), "nobody has logged in yet"
    assert not refused_login("S,CURRENT LOGINID,474614,", sent=True)
    assert not refused_login(
        "S,STATS,,,0,0,1,0,0,0,,,Not Connected,6.0.0.4,474614,0,0,,0.02,0.02,,", sent=True
    )


def test_a_login_tells_nothing_and_holds_to_its_line() -> None:
    login = Login("PRODUCT", "me", "s3cret")
    assert login.lines("1.0")[:3] == [
        "S,REGISTER CLIENT APP,PRODUCT,1.0",
        "S,SET LOGINID,me",
        "S,SET PASSWORD,s3cret",
    ]
    assert "s3cret" not in repr(login)
    for bad in ("a,b", "a\r\nS,DISCONNECT", "\u00e9"):
        with pytest.raises(ConfigError) as caught:
            Login("PRODUCT", "me", bad)
        assert bad not in str(caught.value)


def test_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IQFEED_HOST", "IQFEED_PORT_LOOKUP", "IQFEED_PORT_ADMIN"):
        monkeypatch.delenv(name, raising=False)
    assert Address.of() == Address("127.0.0.1", 9300, 9100, 5009, 9400)
    monkeypatch.setenv("IQFEED_HOST", "forwarder")
    monkeypatch.setenv("IQFEED_PORT_LOOKUP", "19100")
    assert Address.of() == Address("forwarder", lookup=19100)
    other = Address("10.0.0.7", 1, 2, 3, 4)
    assert Address.of(other.url) == other
    assert Address.of("iqfeed://h?admin=5") == Address("h", admin=5)
    assert Address.of('{"admin": "127.0.0.1:7", "lookup": "127.0.0.1:8"}') == Address(admin=7, lookup=8)
    for bad in (
        "http://h",
        "iqfeed://h?admin=x",
        "iqfeed://h?other=1",
        "iqfeed://",
        "{",
        "iqfeed://h?admin=70000",
    ):
        with pytest.raises(ConfigError):
            Address.of(bad)
