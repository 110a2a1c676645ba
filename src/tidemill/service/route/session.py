"""Signing a browser in and out, and tickets for streams."""

from __future__ import annotations

import contextlib
from typing import Annotated

from fastapi import Body, Request, Response

from tidemill import control, errors
from tidemill.metadata import access
from tidemill.service import answer, auth, param, platform, schema
from tidemill.service.command import SCOPES, command


@command("session.open", "POST", "/session", scope="open", effect="write", model=schema.Session)
async def open_session(request: Request, body: Annotated[schema.SessionKey, Body()]) -> Response:
    """Exchange a one-use key for a session cookie."""
    service = platform.of(request)
    cause = answer.request_id.get()
    session = await service.write(lambda connection: access.redeem_key(connection, body.key, cause=cause))
    if session is None:
        raise errors.AuthError(
            "key_refused",
            "the key is unknown, was used already or is older than ten minutes",
            hint="`tidemill open` prints a new one",
        )
    response = answer.json(_told(session.subject, SCOPES, session.expires))
    response.set_cookie(
        service.keeper.cookie,
        service.keeper.cookie_value(session),
        max_age=access.SESSION_S,
        path="/",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


@command("session.show", "GET", "/session", scope="session", model=schema.Session)
async def show_session(request: Request) -> Response:
    """Who is signed in."""
    principal = _principal(request)
    return answer.json(_told(principal.subject, principal.scopes, principal.expires))


@command("session.close", "DELETE", "/session", scope="session", effect="write", model=schema.Session)
async def close_session(request: Request) -> Response:
    """Sign out: the cookie's session ends, and its streams within seconds."""
    service = platform.of(request)
    principal = _principal(request)
    session = principal.session
    cause = answer.request_id.get()
    if session is not None:
        subject = await service.run(service.keeper.revoke, principal)
        await service.write(
            lambda connection: access.end_session(connection, session, actor=principal.subject, cause=cause)
        )
        await service.run(service.keeper.forget, session)
        # The bridge checks tickets by itself and would hold an open stream until its next connection. A
        # bridge that does not answer has no streams to end, and knows when it starts.
        with contextlib.suppress(control.Unreachable):
            await service.watch.ask("bridge", "revoke", subject=subject)
    response = answer.json(_told(principal.subject, (), None))
    response.delete_cookie(service.keeper.cookie, path="/", httponly=True, samesite="strict")
    return response


@command("stream.ticket", "POST", "/stream/ticket", scope="data", effect="read", model=schema.Ticket)
async def stream_ticket(request: Request) -> Response:
    """A ticket that signs one stream connection in; good for 30 seconds."""
    ticket, expires = platform.of(request).keeper.new_ticket(_principal(request))
    return answer.json({"ticket": ticket, "expires": str(expires * 1_000_000_000)})


def _principal(request: Request) -> auth.Principal:
    principal = param.caller(request)
    if principal is None:
        raise auth.refused()
    return principal


def _told(subject: str, scopes: object, expires: int | None) -> dict[str, object]:
    return {
        "subject": subject,
        "scopes": sorted(scopes),  # type: ignore[call-overload]
        "expires": None if expires is None else str(expires),
    }
