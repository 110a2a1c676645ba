"""The admin port: how IQConnect is, told every second, and the login."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tidemill.errors import ConfigError
from tidemill.iqfeed.address import Address
from tidemill.iqfeed.link import OPEN_S, Link

STATS = "S,STATS,"
CLIENT_STATS = "S,CLIENTSTATS,"
_REFUSED = re.compile(r"S,(INVALID LOGIN|LOGIN FAILED|INVALID PASSWORD|BAD LOGIN|.*\bEXPIRED\b)", re.I)
_EMPTY_LOGIN = re.compile(r"S,CURRENT LOGINID,\s*,?\s*$", re.I)


@dataclass(frozen=True)
class Stats:
    """One `S,STATS` line."""

    connected: bool
    """Whether IQConnect has its connection to DTN."""
    version: str
    login: str
    symbols: int
    symbols_max: int
    clients: int
    since_update_s: int
    """Seconds since data came last."""
    reconnections: int
    attempted_reconnections: int
    kb_received: float
    kb_sent: float

    @classmethod
    def of(cls, line: str) -> Stats | None:
        """None for a line that is not whole, as some IQConnect prints while it starts."""
        fields = line.split(",")
        if not line.startswith(STATS) or len(fields) < 15:
            return None
        return cls(
            connected=fields[12] == "Connected",
            version=fields[13],
            login=fields[14],
            symbols=_number(fields[5]),
            symbols_max=_number(fields[4]),
            clients=_number(fields[6]),
            since_update_s=_number(fields[7]),
            reconnections=_number(fields[8]),
            attempted_reconnections=_number(fields[9]),
            kb_received=_real(fields, 15),
            kb_sent=_real(fields, 18),
        )


@dataclass(frozen=True)
class ClientStats:
    """One `S,CLIENTSTATS` line: what IQConnect sends to one of its clients."""

    id: str
    name: str
    kb_queued: int
    """Grows where the client reads too slowly; IQConnect drops it in the end."""

    @classmethod
    def of(cls, line: str) -> ClientStats | None:
        fields = line.split(",")
        if not line.startswith(CLIENT_STATS) or len(fields) < 11:
            return None
        return cls(id=fields[3], name=fields[4], kb_queued=int(_real(fields, 10)))


def refused_login(line: str, *, sent: bool) -> bool:
    """Whether the line says that DTN does not take the login. An empty one does so after one was sent."""
    return bool(_REFUSED.match(line) or (sent and _EMPTY_LOGIN.match(line)))


@dataclass(frozen=True)
class Login:
    """A DTN account. Its `repr` tells nothing, so that no log can."""

    product: str
    login: str
    password: str

    def __post_init__(self) -> None:
        for name in ("product", "login", "password"):
            text = getattr(self, name)
            if not text.isprintable() or "," in text or not text.isascii():
                variable = "DTN_PRODUCT_ID" if name == "product" else f"DTN_{name.upper()}"
                raise ConfigError(
                    "credential_invalid",
                    f"{variable} holds what the admin port cannot take",
                    hint="IQFeed's lines take plain letters without a comma",
                )

    def __repr__(self) -> str:
        return "Login(…)"

    def lines(self, version: str) -> list[str]:
        """What to send over the admin port, in this order."""
        return [
            f"S,REGISTER CLIENT APP,{self.product},{version}",
            f"S,SET LOGINID,{self.login}",
            f"S,SET PASSWORD,{self.password}",
            "S,SET AUTOCONNECT,On",
            "S,CONNECT",
        ]


async def open_admin(address: Address, name: str, *, timeout_s: float = OPEN_S) -> Link:
    """A socket to the admin port, which tells `S,STATS` every second. Raises `UpstreamError`."""
    return await Link.open(address.host, address.admin, name, what="IQFeed's admin port", timeout_s=timeout_s)


def _number(text: str) -> int:
    return int(text) if text.strip().isdecimal() else 0


def _real(fields: list[str], index: int) -> float:
    try:
        return float(fields[index])
    except (ValueError, IndexError):
        return 0.0
