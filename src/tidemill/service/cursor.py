"""Page cursors: opaque, signed, good only for the list and the filters they came from."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import orjson

from tidemill.errors import UsageError
from tidemill.service.auth import Keeper

_MAC = 12


def make(keeper: Keeper, of: str, filters: object, key: list[int | str]) -> str:
    """A cursor that goes on after the row with sort key `key` in the list `of` under `filters`."""
    body = orjson.dumps([of, _mark(keeper, filters), key])
    return _text(keeper.sign(body) + body)


def read(keeper: Keeper, of: str, filters: object, text: str | None) -> list[Any] | None:
    """The sort key in a cursor, None where none was given. Raises `UsageError` for any other text."""
    if text is None:
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        mac, body = raw[:_MAC], raw[_MAC:]
        # One cursor has one text: the last letter's spare bits count too.
        if mac != keeper.sign(body) or _text(raw) != text:
            raise ValueError
        said, mark, key = orjson.loads(body)
    except (ValueError, binascii.Error, TypeError):
        raise _wrong("it is not one that this service gave") from None
    if said != of or mark != _mark(keeper, filters):
        raise _wrong("it belongs to another list or other filters")
    return list(key)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _mark(keeper: Keeper, filters: object) -> str:
    return keeper.sign(repr(filters).encode("utf-8", "replace"))[:6].hex()


def _wrong(why: str) -> UsageError:
    return UsageError(
        "cursor_invalid", f"the cursor cannot be used: {why}", hint="leave it out to get the first page"
    )
