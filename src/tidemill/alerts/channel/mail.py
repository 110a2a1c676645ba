"""A message by e-mail, through the server that `TIDEMILL_SMTP_URL` names."""

from __future__ import annotations

import os
import smtplib
import ssl
from email.message import EmailMessage
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field

from tidemill import address
from tidemill.alerts.channel.api import TIMEOUT_S, Refused, Way, body
from tidemill.errors import ConfigError

if TYPE_CHECKING:
    from tidemill.metadata.alert import Firing

VARIABLE = "TIDEMILL_SMTP_URL"
FROM = "TIDEMILL_MAIL_FROM"
SUBJECT_MAX = 200


class Mail(Way):
    """`smtp://` speaks STARTTLS where the server does, and must where a password goes; `smtps://` is TLS."""

    channel: Literal["mail"] = "mail"
    to: Annotated[str, Field(max_length=254, pattern=r"^[^@\s<>,;\x00-\x1f]+@[^@\s<>,;\x00-\x1f]+$")]

    def check(self) -> None:
        _server()

    def send(self, firing: Firing) -> None:
        try:
            url = _server()
        except ConfigError as error:
            raise Refused(str(error), again=False) from error
        try:
            self._hand_over(url, firing)
        except smtplib.SMTPResponseException as error:
            why = error.smtp_error.decode("utf-8", "replace") if isinstance(error.smtp_error, bytes) else ""
            raise Refused(f"{error.smtp_code} {why}"[:300], again=400 <= error.smtp_code < 500) from error
        except smtplib.SMTPRecipientsRefused as error:
            raise Refused(f"{self.to} is refused"[:300], again=False) from error
        except (OSError, smtplib.SMTPException) as error:
            raise Refused(f"{type(error).__name__}: {error}"[:300], again=True) from error

    def _hand_over(self, url: str, firing: Firing) -> None:
        parts = urlsplit(url)
        host = parts.hostname or "localhost"
        context = ssl.create_default_context()
        secure = parts.scheme == "smtps"
        port = parts.port or (465 if secure else 587)
        server = (
            smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_S, context=context)
            if secure
            else smtplib.SMTP(host, port, timeout=TIMEOUT_S)
        )
        with server:
            if not secure:
                server.ehlo()
                if server.has_extn("starttls"):
                    server.starttls(context=context)
                    server.ehlo()
                elif parts.password:
                    raise Refused(f"{host} has no STARTTLS: no password is sent in the clear", again=False)
            if parts.username and parts.password:
                server.login(unquote(parts.username), unquote(parts.password))
            server.send_message(self._message(firing, os.environ.get(FROM) or f"tidemill@{host}"))

    def _message(self, firing: Firing, sender: str) -> EmailMessage:
        message = EmailMessage()
        message["From"], message["To"] = sender, self.to
        # A line break in a header would begin another one.
        subject = " ".join(f"{'Test: ' if firing.test else ''}{firing.name}: {firing.message}".split())
        message["Subject"] = subject[:SUBJECT_MAX]
        message["Message-ID"] = f"<{firing.id}.{firing.noticed}@tidemill>"
        message.set_content("\n".join(f"{name}: {value}" for name, value in body(firing).items()) + "\n")
        return message


def _server() -> str:
    url = os.environ.get(VARIABLE)
    if not url:
        raise ConfigError(
            "mail_unset", f"no mail server is named: {VARIABLE} is not set",
            hint=f"{VARIABLE}=smtps://user:password@host:465 tidemill up",
        )  # fmt: skip
    if address.scheme(url) not in ("smtp", "smtps") or not urlsplit(url).hostname:
        raise ConfigError(
            "address_invalid", f"{VARIABLE} is {address.shown(url)!r}; it must be smtp://… or smtps://…",
            hint="docs/alerts.md has an example of each",
        )  # fmt: skip
    return url
