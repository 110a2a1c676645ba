"""A rule as it is asked for: what to wait for, and what to do when it happens."""

from __future__ import annotations

import time
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from tidemill.alerts.channel import Channel
from tidemill.alerts.kind import Terms
from tidemill.alerts.kind.api import Facts
from tidemill.alerts.kind.api import Terms as Kind
from tidemill.errors import UsageError

CHANNELS_MAX = 5
_TERMS: TypeAdapter[Kind] = TypeAdapter(Terms)


class AlertAsk(BaseModel):
    """What a person wants to be told of. The name is the sentence of its terms where none is given."""

    model_config = ConfigDict(extra="forbid")

    terms: Terms
    name: Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f]*$")] = ""
    channels: Annotated[list[Channel], Field(max_length=CHANNELS_MAX)] = Field(default_factory=list)
    cooldown_s: Annotated[int, Field(ge=0, le=7 * 86_400, description="quiet after a firing")] = 60
    once: Annotated[bool, Field(description="switched off by its first firing")] = False
    enabled: bool = True
    expires: Annotated[str | None, Field(max_length=64, description="ISO 8601 or an epoch number")] = None


def row(ask: AlertAsk, facts: Facts) -> dict[str, Any]:
    """The columns of `metadata.alert.create`. Raises what is wrong with it, in the words of its kind."""
    from tidemill.model.time import parse

    terms = ask.terms.resolved(facts)
    for channel in ask.channels:
        channel.check()
    expires = None if ask.expires is None else parse(ask.expires)
    if expires is not None and expires <= time.time_ns():
        raise UsageError("time_invalid", f"expires={ask.expires!r} is over", hint="name a time to come")
    return {
        "name": ask.name.strip() or terms.sentence[:200],
        "terms": terms.model_dump(),
        "channels": [channel.model_dump() for channel in ask.channels],
        "cooldown_s": ask.cooldown_s, "once": ask.once, "enabled": ask.enabled, "expires": expires,
    }  # fmt: skip


def terms_of(kept: dict[str, Any]) -> Kind:
    """The terms of a row. Raises `pydantic.ValidationError` where another version of Tidemill wrote them."""
    return _TERMS.validate_python(kept)
