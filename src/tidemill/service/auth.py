"""Who is asking: the owner's token, a session cookie, or a stream ticket.

Cookie and ticket are `v1.<expiry unix s>.<subject>.<purpose>.<mac>`, signed with `DIR/secret`; the
bridge checks the same text with the same key. The subject of a cookie is `<name>-<session id>`, so that a
logout can end exactly one. A ticket that a session asked for has the session's expiry behind `ticket`: it
opens a stream within seconds, and the stream ends with the session.
"""

from __future__ import annotations

import base64
import dataclasses
import fcntl
import hashlib
import hmac
import re
import threading
import time
from dataclasses import dataclass

import anyio
import orjson
from sqlalchemy.exc import SQLAlchemyError

from tidemill.cache import Shared
from tidemill.errors import AuthError
from tidemill.home import Home
from tidemill.metadata import Metadata, access
from tidemill.service.command import SCOPES

TICKET_S = 30
# So many look-ups of sessions wait for the database at once; the other threads are for other work.
THREADS = 8
# A session that was ended elsewhere is noticed within this time; at once where a message of it comes.
SESSION_CHECK_S = 2.0
# So many sessions are remembered for the time that the database is away.
KNOWN_MAX = 1000
# That it has ended is kept for longer than any older reading of it may be found.
ENDED_S = 5 * SESSION_CHECK_S
SESSION = "session"
"""The topic of sessions that ended, and what their keys in the cache begin with."""
_SUBJECT = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Principal:
    """Someone let in. `session` is set when a cookie proved it: then another page may be behind it."""

    subject: str
    scopes: frozenset[str]
    session: str | None = None
    expires: int | None = None  # ns UTC


class Keeper:
    """Checks credentials of one home. Thread-safe."""

    def __init__(self, home: Home, metadata: Metadata, port: int, cache: Shared | None = None) -> None:
        """Raises `ConfigError` when token or secret can be read by others or are too short."""
        self._metadata = metadata
        self._cache = cache or Shared(None, "")
        self._cache.subscribe(SESSION, self._hear)
        self._known: dict[str, access.Session] = {}
        self._revoked = home.revoked
        self._token = home.read_token().encode()
        self._secret = home.read_secret()
        self.cookie = f"tidemill_{port}"
        self._lock = threading.Lock()
        self._threads = anyio.CapacityLimiter(THREADS)

    def bearer(self, text: str) -> Principal | None:
        """The owner, when `text` is the token."""
        if hmac.compare_digest(text.encode("utf-8", "replace"), self._token):
            return Principal("owner", frozenset(SCOPES))
        return None

    def session(self, cookie: str) -> Principal | None:
        """Who a cookie lets in; None when it is forged, too old or was ended."""
        subject = self._verify(cookie, "session")
        name, _, session_id = (subject or "").rpartition("-")
        return _let_in(name, self._session(session_id)) if name else None

    async def enter(self, cookie: str) -> Principal | None:
        """As `session`, and the event loop never waits for a database or a Redis."""
        name, _, session_id = (self._verify(cookie, "session") or "").rpartition("-")
        if not name:
            return None
        if self._has_ended(session_id):
            return None
        kept = self._cache.memory.get(_key(session_id))
        if kept is not None:
            return _let_in(name, _read(kept))
        return await anyio.to_thread.run_sync(self.session, cookie, limiter=self._threads)

    def ticket(self, text: str) -> Principal | None:
        """Who a stream ticket lets in."""
        subject = self._verify(text, "ticket")
        if subject is None:
            return None
        name, dash, session_id = subject.rpartition("-")
        if not dash:
            return Principal(subject, frozenset(SCOPES))
        found = self._session(session_id)
        if found is None or not found.holds(time.time_ns()):
            return None
        return Principal(name, frozenset(SCOPES), session_id, found.expires)

    def holds(self, principal: Principal) -> bool:
        """Whether someone let in earlier still is: long connections ask again."""
        if principal.session is None:
            return True
        found = self._session(principal.session)
        return found is not None and found.holds(time.time_ns())

    def cookie_value(self, session: access.Session) -> str:
        """The cookie of a session."""
        return self._sign(session.expires // 1_000_000_000, f"{session.subject}-{session.id}", "session")

    def new_ticket(self, principal: Principal) -> tuple[str, int]:
        """A ticket for one stream connection and its expiry (unix s)."""
        expires = int(time.time()) + TICKET_S
        if principal.session is None or principal.expires is None:
            return self._sign(expires, principal.subject, "ticket"), expires
        until = principal.expires // 1_000_000_000
        return self._sign(expires, _subject(principal), f"ticket.{until}"), expires

    def own_ticket(self) -> str:
        """A ticket with which the service itself subscribes at the bridge."""
        return self._sign(int(time.time()) + TICKET_S, "service", "ticket")

    def sign(self, data: bytes) -> bytes:
        """A mac for what leaves and must come back unchanged (cursors)."""
        return hmac.digest(self._secret, b"cursor." + data, "sha256")[:12]

    def revoke(self, principal: Principal) -> str:
        """Writes down that this session ends before its time, and returns its name for the bridge: one that
        is away, or starts again later, reads it in the file."""
        subject, now = _subject(principal), int(time.time())
        expiry = (principal.expires or 0) // 1_000_000_000
        with self._lock, self._revoked.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # of other service processes of this home
            try:
                lines = self._revoked.read_text().splitlines()
            except FileNotFoundError:
                lines = []
            # What has expired lets nobody in any more.
            lines = [
                line for line in lines if not (said := line.partition(" ")[0]).isdigit() or int(said) > now
            ]
            whole = self._revoked.with_suffix(".new")
            whole.write_text("".join(f"{line}\n" for line in [*lines, f"{expiry} {subject}"]))
            whole.replace(self._revoked)
        return subject

    def _is_revoked(self, subject: str) -> bool:
        """Whether a session has ended before its time; its expiry stands before its name."""
        try:
            lines = self._revoked.read_text().splitlines()
        except FileNotFoundError:
            return False
        return any(line.partition(" ")[2] == subject for line in lines)

    def forget(self, session_id: str) -> None:
        """Makes an end of a session count at once, here and in processes that hear of it."""
        # Not dropped but written over: it counts as unknown for whoever finds it.
        self._cache.put(_key(session_id), b"null", SESSION_CHECK_S)
        self._cache.publish(SESSION, session_id)
        self._known.pop(session_id, None)

    def _hear(self, ended: str | None) -> None:
        """A session has ended, here or elsewhere; None when that of any may have been missed."""
        if ended:
            # A key of its own: who read the database just before must not write over it.
            self._cache.memory.put(_ended(ended), b"", ENDED_S)
            self._known.pop(ended, None)
        else:
            self._cache.memory.drop(_key(""))
            self._known.clear()

    def _has_ended(self, session_id: str) -> bool:
        return self._cache.memory.get(_ended(session_id)) is not None

    def _session(self, session_id: str) -> access.Session | None:
        """As the database says it, or said it up to `SESSION_CHECK_S` ago; as it said it last while it is
        away: no session can be ended meanwhile."""
        if self._has_ended(session_id):
            return None
        kept = self._cache.get(_key(session_id))
        if kept is not None:
            return _read(kept)
        try:
            with self._metadata.read() as connection:
                found = access.session(connection, session_id)
        except SQLAlchemyError:
            found = self._known.get(session_id)
            if found is None or self._is_revoked(f"{found.subject}-{session_id}"):
                raise
        with self._lock:
            self._known.pop(session_id, None)
            if found is not None:
                self._known[session_id] = found
            if len(self._known) > KNOWN_MAX:
                del self._known[next(iter(self._known))]
        row = None if found is None else dataclasses.asdict(found)
        self._cache.put(_key(session_id), orjson.dumps(row), SESSION_CHECK_S)
        return found

    def _sign(self, expires: int, subject: str, purpose: str) -> str:
        text = f"v1.{expires}.{subject}.{purpose}"
        mac = hmac.digest(self._secret, text.encode(), hashlib.sha256)
        return f"{text}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"

    def _verify(self, text: str, purpose: str) -> str | None:
        parts = text.split(".")
        if len(parts) not in (5, 6) or not text.isascii() or len(text) > 512:
            return None
        version, expires, subject, said, *until, _mac = parts
        if version != "v1" or said != purpose or not expires.isdigit() or len(expires) > 12:
            return None
        if not _SUBJECT.fullmatch(subject):
            return None
        if not hmac.compare_digest(text, self._sign(int(expires), subject, ".".join([purpose, *until]))):
            return None
        return subject if time.time() < int(expires) else None


def name(home: Home) -> str:
    """What keeps this home's keys in a shared Redis apart from those of others: it tells nothing of it."""
    return hmac.digest(home.read_secret(), b"cache", "sha256")[:8].hex()


def _key(session_id: str) -> str:
    return f"{SESSION}:{session_id}"


def _ended(session_id: str) -> str:
    return f"ended:{session_id}"


def _read(kept: bytes) -> access.Session | None:
    row = orjson.loads(kept)
    return None if row is None else access.Session(**row)


def _let_in(name: str, found: access.Session | None) -> Principal | None:
    """Whom a session of that name lets in now."""
    if found is None or found.subject != name or not found.holds(time.time_ns()):
        return None
    return Principal(name, frozenset(SCOPES), found.id, found.expires)


def _subject(principal: Principal) -> str:
    """What cookie and ticket of a session name."""
    return f"{principal.subject}-{principal.session}"


def refused(hint: str = "") -> AuthError:
    """Nobody known is asking."""
    return AuthError(
        "not_signed_in",
        "this needs a signed-in caller, and the request has no valid session cookie or Bearer token",
        hint=hint
        or "`tidemill open` prints an address that signs a browser in; programs send the text of DIR/token",
    )
