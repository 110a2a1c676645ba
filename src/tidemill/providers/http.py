"""Requests to a provider: behind its gate, tried again where that can help, and never telling a key.

What may be tried again: 429 and 418 after the pause that was asked for, 5xx, a cut or silent connection, a
body that is no JSON. Each try passes the gate. A redirect is never followed: it would take the key along.
"""

from __future__ import annotations

import asyncio
import email.utils
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tidemill import __version__
from tidemill.errors import AuthError, NotFoundError, RateLimitError, TidemillError, UpstreamError
from tidemill.providers import exact
from tidemill.providers.api import Gate

if TYPE_CHECKING:
    import httpx

LOOPBACK = ("127.0.0.1", "localhost", "::1")
Params = Mapping[str, Any]
Judge = Callable[[int, Any], None]
"""Looks at a status and a body (None where it is no JSON) and raises what it means, where it means an error.
`RateLimitError` and `UpstreamError` that says it is retryable are tried again."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for what."""

    connect_s: float = 10.0
    silence_s: float = 30.0
    """Without a byte."""
    whole_s: float = 180.0
    """For one answer, however slowly it trickles."""
    tries: int = 5
    """Of a request that fails in a way that may pass."""
    pauses: int = 6
    """Times in a row that the provider may say "too often"."""
    pause_s: float = 5.0
    """Where it says so without Retry-After: this, doubled each time."""
    pause_s_max: float = 900.0
    """A longer one is told to the asker instead of waited for."""
    backoff_s: float = 0.5
    backoff_s_max: float = 20.0
    body_bytes_max: int = 64 << 20
    """Uncompressed."""


@dataclass(frozen=True)
class Answer:
    data: Any
    headers: Mapping[str, str]


class Http:
    """One provider's REST. Connects at the first request; `close` lets go."""

    def __init__(
        self,
        who: str,
        base: str,
        gate: Gate,
        *,
        headers: Callable[[], Mapping[str, str]] = dict,
        hosts: tuple[str, ...] = (),
        patience: Patience = Patience(),
    ) -> None:
        """`headers` gives those with the key, asked at the first request; whatever they hold is kept out of
        every message. `hosts` are other names of the same service that a link to a next page may show."""
        self._who, self._base, self._gate = who, base.rstrip("/"), gate
        self._headers, self._hosts, self._patience = headers, hosts, patience
        self._secrets: tuple[str, ...] = ()
        self._client: httpx.AsyncClient | None = None

    def __repr__(self) -> str:
        return f"Http({self._who}, {self._base})"

    async def get(
        self, path: str, params: Params | None = None, *, cost: int = 1, judge: Judge | None = None
    ) -> Answer:
        """The body as JSON with exact numbers, and the headers. Raises what providers/api.py promises."""
        failures = pauses = 0
        while True:
            await self._gate.enter(cost)
            try:
                return await self._once(path, params, judge, pauses)
            except RateLimitError as error:
                self._gate.pause(error.retry_after_s)
                pauses += 1
                if pauses > self._patience.pauses or error.retry_after_s > self._patience.pause_s_max:
                    raise
            except UpstreamError as error:
                failures += 1
                if not error.retryable or failures >= self._patience.tries:
                    raise
                most = min(self._patience.backoff_s_max, self._patience.backoff_s * 2**failures)
                await asyncio.sleep(random.uniform(0, most))  # noqa: S311

    async def next(self, link: str, *, cost: int = 1, judge: Judge | None = None) -> Answer:
        """The page that `link` names. Raises `UpstreamError` where that is another server's: it would be
        handed our key."""
        parts, base = urlsplit(link), urlsplit(self._base)
        own = parts.scheme == base.scheme and parts.netloc == base.netloc
        alias = parts.scheme == "https" == base.scheme and parts.netloc in self._hosts
        if not (own or (alias and base.netloc in self._hosts)):
            raise UpstreamError(
                "provider_link",
                f"{self._who} names a next page at {parts.scheme}://{parts.hostname}, not at {self._base}",
                hint="nothing was sent there",
                retryable=False,
            )
        return await self.get(
            f"{parts.path}?{parts.query}" if parts.query else parts.path, cost=cost, judge=judge
        )

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _once(self, path: str, params: Params | None, judge: Judge | None, pauses: int) -> Answer:
        import httpx

        try:
            async with asyncio.timeout(self._patience.whole_s):
                status, headers, body = await self._fetched(path, params)
        except (httpx.TimeoutException, TimeoutError):
            raise self._failed("provider_silent", "did not answer in time") from None
        except httpx.HTTPError as error:
            # Without the cause: it holds the request, and that the key.
            raise self._failed("provider_unreachable", f"{type(error).__name__}: {error}") from None
        try:
            data = exact.loads(body)
        except (ValueError, RecursionError) as error:
            if 200 <= status < 300:
                raise self._failed("provider_garbled", f"sent no whole JSON: {error}") from None
            data = None
        if status in (418, 429):
            raise self._limited(status, headers, pauses)
        if judge is not None:
            try:
                judge(status, data)
            except TidemillError as error:
                error.message = self.clean(error.message)
                error.args = (error.message,)
                raise
        if not 200 <= status < 300:
            raise self._refused(status, data)
        return Answer(data, headers)

    async def _fetched(self, path: str, params: Params | None) -> tuple[int, Mapping[str, str], bytes]:
        body = bytearray()
        async with self._open().stream("GET", self._base + path, params=params or None) as response:
            async for part in response.aiter_bytes():
                body += part
                if len(body) > self._patience.body_bytes_max:
                    raise UpstreamError(
                        "provider_body",
                        f"{self._who} answers more than {self._patience.body_bytes_max >> 20} MiB at once",
                        retryable=False,
                    )
            return response.status_code, response.headers, bytes(body)

    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            import httpx

            secret = self._headers()
            words = {word for value in secret.values() for word in (value, value.removeprefix("Bearer "))}
            self._secrets = tuple(word for word in words if word)
            patience = self._patience
            self._client = httpx.AsyncClient(
                headers={"User-Agent": f"tidemill/{__version__}", "Accept": "application/json", **secret},
                timeout=httpx.Timeout(patience.silence_s, connect=patience.connect_s, pool=None),
                limits=httpx.Limits(max_connections=50, max_keepalive_connections=50),
                follow_redirects=False,
                trust_env=urlsplit(self._base).hostname not in LOOPBACK,
                # Certificates take a tenth of a second to load, and plain HTTP has none.
                verify=self._base.startswith("https:"),
            )
        return self._client

    def clean(self, text: str) -> str:
        """The text without our keys, should the provider have sent one back."""
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return text

    def _failed(self, code: str, why: str) -> UpstreamError:
        return UpstreamError(
            code, self.clean(f"{self._who} at {self._base} {why}"), hint="trying again may help"
        )

    def _limited(self, status: int, headers: Mapping[str, str], pauses: int) -> RateLimitError:
        said = _retry_after_s(headers)
        wait = said if said is not None else self._patience.pause_s * 2**pauses * (24 if status == 418 else 1)
        what = "has banned this address for too many requests" if status == 418 else "says: too many requests"
        return RateLimitError(
            "provider_limit",
            f"{self._who} {what} (status {status}); it goes on in {wait:.0f} s",
            hint="fewer workers, or a plan that allows more",
            retry_after_s=wait,
        )

    def _refused(self, status: int, data: Any) -> TidemillError:
        why = self.clean(said(data))
        if status in (401, 403):
            return AuthError(
                "provider_key",
                f"{self._who} refuses the key, or what it may see (status {status}){why}",
                hint="docs/providers.md says which keys there are",
                http_status=status,
            )
        if status == 404:
            return NotFoundError("symbol_unknown", f"{self._who} has nothing of that name{why}")
        if 300 <= status < 400:
            why = "; redirects are not followed, as they would take the key along"
        return UpstreamError(
            "provider_answer",
            f"{self._who} answers with status {status}{why}",
            retryable=status >= 500 or status == 408,
        )


def said(data: Any) -> str:
    """`: ` and the provider's own words, where it has any."""
    if isinstance(data, dict):
        for name in ("message", "error", "msg", "detail"):
            if isinstance(data.get(name), str):
                return f": {data[name][:200]}"
    return ""


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait as the provider says it: a number, a date, or X-RateLimit-Reset in unix seconds."""
    text = headers.get("retry-after", "").strip()
    sent = email.utils.parsedate_tz(headers.get("date", ""))
    now = email.utils.mktime_tz(sent) if sent else time.time()
    if text:
        try:
            seconds = float(text)
        except ValueError:
            date = email.utils.parsedate_tz(text)
            # Dates are whole seconds, of the answer and of the end: one more is surely not early.
            seconds = email.utils.mktime_tz(date) - now + 1 if date else -1.0
        return seconds if 0 <= seconds < float("inf") else None
    reset = headers.get("x-ratelimit-reset", "")
    return max(0.0, int(reset) - now + 1) if reset.isdigit() and len(reset) <= 11 else None
