"""An HTTP POST of JSON to an address of the person's own."""

from __future__ import annotations

import ipaddress
import os
import socket
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field

from tidemill.alerts.channel.api import TIMEOUT_S, Refused, Way, body
from tidemill.errors import UsageError

if TYPE_CHECKING:
    from tidemill.metadata.alert import Firing

VARIABLE = "TIDEMILL_WEBHOOK_HOSTS"
"""Hosts with private addresses that may be told, as a comma list: else nobody could reach them from outside,
and a rule could."""


class Webhook(Way):
    """Redirects are not followed. The body is told apart by its `id`: it may come twice."""

    channel: Literal["webhook"] = "webhook"
    url: Annotated[str, Field(max_length=2_000, pattern=r"^https?://[^\s\x00]+$")]

    def check(self) -> None:
        parts = urlsplit(self.url)
        try:
            host, _ = parts.hostname, parts.port
        except ValueError:
            host = None
        if not host or parts.username or parts.password:
            raise UsageError(
                "channel_invalid", "a webhook's address is http:// or https://, a host, and no password",
                hint="put a secret into the path, as the services that take webhooks do",
            )  # fmt: skip

    def send(self, firing: Firing) -> None:
        import httpx

        self._reachable()
        try:
            with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
                answer = client.post(self.url, json=body(firing), headers={"User-Agent": "tidemill"})
        except httpx.HTTPError as error:
            raise Refused(f"{type(error).__name__}: {error}"[:300], again=True) from error
        if not answer.is_success:
            late = answer.status_code in (408, 425, 429) or answer.status_code >= 500
            raise Refused(f"it answered {answer.status_code}", again=late)

    def _reachable(self) -> None:
        """Raises `Refused` for an address inside the network that no setting allows."""
        parts = urlsplit(self.url)
        host = str(parts.hostname)
        if host in {one.strip() for one in os.environ.get(VARIABLE, "").split(",")}:
            return
        try:
            found = {row[4][0] for row in socket.getaddrinfo(host, parts.port or parts.scheme)}
        except OSError as error:
            raise Refused(f"{host} is not known: {error}", again=True) from error
        if any(not ipaddress.ip_address(str(one).partition("%")[0]).is_global for one in found):
            raise Refused(f"{host} is an address inside this network; {VARIABLE} may name it", again=False)
