"""What the service was started with: command line first, then environment, then the defaults."""

from __future__ import annotations

import argparse
import ipaddress
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from tidemill.address import VARIABLES, named
from tidemill.errors import ConfigError
from tidemill.home import Home
from tidemill.importer import upload

DEFAULT_PORT = 8484
WEB = Path(__file__).parent / "web"
# Requests of one caller, by what they do: TIDEMILL_LIMIT_READ and so on. Sign-ins count per address.
LIMITS = {"read": "6000/minute", "write": "300/minute", "session": "10/minute"}
_RATE = re.compile(r"[1-9]\d{0,8}/(second|minute|hour)")


@dataclass(frozen=True)
class Config:
    """Settings of one service process."""

    home: Home
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    supervised: bool = False
    profile: str = "local"
    allowed_hosts: frozenset[str] = frozenset()
    allowed_origins: frozenset[str] = frozenset()
    web: Path = WEB
    limits: dict[str, str] = field(default_factory=lambda: dict(LIMITS))
    body_bytes_max: int = 1 << 20
    upload_bytes_max: int = 4 << 30
    drain_s: float = 8.0


def parse(argv: list[str]) -> Config:
    """Reads the command line. Raises `ConfigError` for a setting that cannot be used."""
    parser = argparse.ArgumentParser(prog="tidemill serve", description="REST, events and the web app.")
    parser.add_argument("--home", help="the platform's folder (TIDEMILL_HOME)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; loopback only")
    parser.add_argument("--port", help=f"port to listen on (TIDEMILL_PORT, default {DEFAULT_PORT}); 0 = any")
    parser.add_argument("--supervised", action="store_true", help="leave when stdin ends")
    words = parser.parse_args(argv)
    host = str(words.host)
    if not is_loopback(host):
        raise ConfigError(
            "bind_refused",
            f"the service was asked to listen on {host}, which other machines may reach, "
            "and this home has no users to keep them apart",
            hint="leave --host at 127.0.0.1 and forward the port (ssh -L 8484:127.0.0.1:8484 …)",
        )
    return Config(
        home=Home.at(words.home),
        host=host,
        port=_port(words.port if words.port is not None else os.environ.get("TIDEMILL_PORT")),
        supervised=bool(words.supervised),
        profile="team" if any(map(named, VARIABLES)) else "local",
        allowed_hosts=_names("TIDEMILL_ALLOWED_HOSTS"),
        allowed_origins=_names("TIDEMILL_ALLOWED_ORIGINS"),
        upload_bytes_max=upload.bytes_max(),
        limits={kind: _rate(kind, default) for kind, default in LIMITS.items()},
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address: 127.0.0.0/8, ::1 or the name localhost."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _port(text: str | None) -> int:
    if not text:
        return DEFAULT_PORT
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise ConfigError(
            "port_invalid",
            f"the port is {text!r}; it must be a number from 0 to 65535",
            hint="set --port or TIDEMILL_PORT, or leave both out for 8484",
        )
    return int(text)


def _rate(kind: str, default: str) -> str:
    variable = f"TIDEMILL_LIMIT_{kind.upper()}"
    text = os.environ.get(variable) or default
    if not _RATE.fullmatch(text):
        raise ConfigError(
            "limit_invalid",
            f"{variable} is {text!r}",
            hint=f"write a number and a time, for example {default}",
        )
    return text


def _names(variable: str) -> frozenset[str]:
    text = os.environ.get(variable, "")
    return frozenset(name.strip().lower().rstrip("/") for name in text.split(",") if name.strip())
