"""Which venues are wanted: from the command line, the configuration file, or the last choice."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from tidemill import errors
from tidemill.home import Home
from tidemill.model.collector import (
    DEFAULT_INSTRUMENTS,
    SELLERS,
    SIM_PREFIX,
    VENUE,
    Collector,
    plain,
)

if TYPE_CHECKING:
    from tidemill.metadata import Metadata

DEFAULT_VENUES = "sim-kraken,sim-coinbase,sim-binance"


def parse_venues(text: str) -> list[Collector]:
    """The collectors a comma list of venue names asks for; `sim-` before a protocol is the simulator's."""
    found = [parse_venue(word.strip()) for word in text.split(",") if word.strip()]
    if not found:
        raise errors.UsageError(
            "no_venues", f"--venues {text!r} names no venue", hint=f"for example --venues {DEFAULT_VENUES}"
        )
    return found


def parse_venue(name: str) -> Collector:
    """The collector of one venue, with its usual instruments. Raises `NotFoundError` for another name."""
    protocol = name.removeprefix(SIM_PREFIX)
    if protocol not in DEFAULT_INSTRUMENTS:
        known = [*DEFAULT_INSTRUMENTS, *(SIM_PREFIX + p for p in DEFAULT_INSTRUMENTS)]
        raise errors.unknown("venue", name, known)
    if not name.startswith(SIM_PREFIX):
        return Collector(name, protocol, DEFAULT_INSTRUMENTS[protocol], _own_address(protocol))
    if protocol in SELLERS:
        # FAKEPACA is traded around the clock.
        return Collector(name, protocol, (*DEFAULT_INSTRUMENTS[protocol], "FAKEPACA"))
    from tidemill import _native

    everything = (full.removesuffix(f".{name}") for full in _native.sim_instruments(protocol))
    return Collector(name, protocol, tuple(everything))


def _own_address(protocol: str) -> str | None:
    """Where the environment says that IQConnect listens; None for its usual place, and for other venues."""
    if protocol != "iqfeed":
        return None
    from tidemill.iqfeed.address import Address

    said = Address.of()
    if (said.host, said.level1) == (Address.host, Address.level1):
        return None
    return f"tcp://[{said.host}]:{said.level1}" if ":" in said.host else f"tcp://{said.host}:{said.level1}"


def parse_instruments(text: str, of: Collector) -> tuple[str, ...]:
    """`btc/usd, ETH-USD` as `("BTC-USD", "ETH-USD")`. Raises `UsageError` for what is no instrument."""
    words = (word for word in text.split(",") if word.strip())
    return tuple(dict.fromkeys(plain(word, of.protocol, of.name) for word in words))


def from_config(home: Home) -> list[Collector]:
    """The `[[collector]]` tables of `DIR/tidemill.toml`: protocol; maybe name, instruments, url, rest_url.

    Raises `ConfigError` naming the file and what is wrong in it.
    """
    try:
        found = tomllib.loads(home.config.read_text())
    except FileNotFoundError:
        return []
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise errors.ConfigError("config_syntax", f"{home.config}: {error}", hint="mend that line") from error
    stray = sorted(set(found) - {"collector"})
    if stray:
        raise errors.ConfigError(
            "config_shape", f"{home.config}: unknown key {stray[0]!r}", hint="it holds [[collector]] alone"
        )
    tables = found.get("collector", [])
    if not isinstance(tables, list):
        raise errors.ConfigError(
            "config_shape", f"{home.config}: `collector` is not a list", hint="write [[collector]]"
        )
    return [_from_table(home, table) for table in tables]


def _from_table(home: Home, table: Any) -> Collector:
    known = {"protocol", "name", "instruments", "url", "rest_url"}
    if not isinstance(table, dict):
        raise errors.ConfigError(
            "config_shape", f"{home.config}: `collector` is not a list of tables", hint="write [[collector]]"
        )
    stray = sorted(set(table) - known)
    protocol = table.get("protocol")
    if stray or not isinstance(protocol, str) or protocol not in DEFAULT_INSTRUMENTS:
        wrong = f"unknown key {stray[0]!r}" if stray else f"protocol {protocol!r}"
        raise errors.ConfigError(
            "config_collector",
            f"{home.config}: {wrong} in [[collector]]",
            hint=f"keys: {', '.join(sorted(known))}; protocols: {', '.join(DEFAULT_INSTRUMENTS)}",
        )
    name = table.get("name", protocol)
    instruments = table.get("instruments", DEFAULT_INSTRUMENTS[protocol])
    try:
        if not isinstance(name, str) or not VENUE.fullmatch(name):
            raise errors.UsageError("config_collector", f"name {name!r} is not 1 to 32 of a-z, 0-9 and -")
        if not isinstance(instruments, list | tuple) or not all(isinstance(one, str) for one in instruments):
            raise errors.UsageError("config_collector", f"instruments {instruments!r} is not a list of names")
        for address in ("url", "rest_url"):
            if not isinstance(table.get(address, ""), str):
                raise errors.UsageError("config_collector", f"{address} {table[address]!r} is not an address")
        names = tuple(dict.fromkeys(plain(one, protocol, name) for one in instruments))
        found = Collector(name, protocol, names, table.get("url"), table.get("rest_url"))
        if not found.possible:
            raise errors.UsageError(
                "config_collector",
                f"name {name!r} without a url, and the simulator plays {SIM_PREFIX}{protocol} alone",
                hint=f"name it {SIM_PREFIX}{protocol}, or give it a url",
            )
    except errors.UsageError as error:
        raise errors.ConfigError(
            "config_collector", f"{home.config}: {error.message} in [[collector]]", hint=error.hint
        ) from error
    return found


def set_wanted(metadata: Metadata, asked: list[Collector] | None, configured: list[Collector]) -> None:
    """Makes exactly `asked` wanted; None leaves the last choice, and at the first start the simulated venues.

    Collectors `configured` in the file are wanted always.
    """
    known = {row.name for row in metadata.collectors()}
    if asked is None:
        chosen = configured if known or configured else parse_venues(DEFAULT_VENUES)
    else:
        chosen = [*asked, *configured]
        for name in known - {c.name for c in chosen}:
            metadata.unwant(name, actor="owner")
    for c in chosen:
        metadata.want(c.name, c.protocol, c.instruments, actor="owner", url=c.url, rest_url=c.rest_url)


def wanted(metadata: Metadata) -> list[Collector]:
    """The collectors that should run now."""
    return [collector for collector in metadata.collectors() if collector.wanted]
