"""One connection to `/ws/indicators`: what it follows, and what it has been sent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from starlette.websockets import WebSocket

from tidemill import errors
from tidemill.errors import TidemillError, UsageError
from tidemill.service import answer, calculation, instant, schema
from tidemill.service import websocket as sockets
from tidemill.service.indicator_feed import Feed, Fresh, Need

if TYPE_CHECKING:
    from tidemill.calculated import Wanted
    from tidemill.service.platform import Platform

SUBSCRIPTIONS_MAX = 64
SINGLE_MAX = 64
"""Closed bars that come one by one; more come as one snapshot."""
OPS = ("subscribe", "unsubscribe", "ping")


@dataclass
class _Followed:
    """One subscription."""

    id: int
    need: Need
    feed: Feed
    start: int | None
    """The first bar that it was sent, ns; a snapshot that is sent again reaches no further back."""
    limit: int
    through: int | None = None
    """The last closed bar that it was sent, ns."""
    version: int = 0
    tick: int = -1
    trouble: TidemillError | None = None
    current: tuple[int | None, dict[str, float]] = field(default_factory=lambda: (None, {}))


class Session:
    """Takes a connection's subscriptions and sends what is new to them."""

    def __init__(self, service: Platform, socket: WebSocket) -> None:
        self._service = service
        self._socket = socket
        self._followed: dict[int, _Followed] = {}

    async def handle(self, message: Mapping[str, Any]) -> None:
        """One message of the client. What is wrong with it is said, and the connection goes on."""
        try:
            match message.get("op"):
                case "subscribe":
                    await self._subscribe(message)
                case "unsubscribe":
                    await self._unsubscribe(message)
                case other:
                    raise UsageError(
                        "op_unknown", f"op {str(other)[:64]!r} is not known here; have: {', '.join(OPS)}"
                    )
        except TidemillError as error:
            await self._complain(message.get("id"), error)

    async def work(self) -> None:
        """Sends what is new, for as long as the connection lasts."""
        feeds = self._service.feeds
        while True:
            for one in list(self._followed.values()):
                if one.tick != one.feed.tick:
                    await self._send_new(one)
            async with feeds.moved:
                await feeds.moved.wait_for(
                    lambda: any(one.tick != one.feed.tick for one in self._followed.values())
                )

    async def close(self) -> None:
        """Leaves all feeds."""
        for one in list(self._followed.values()):
            await self._service.feeds.leave(one.feed, one.need)
        self._followed.clear()

    async def _subscribe(self, message: Mapping[str, Any]) -> None:
        asked = _read(message)
        if asked.id in self._followed:
            raise errors.ConflictError(
                "subscription_exists", f"there is a subscription {asked.id} already", hint="take another id"
            )
        if len(self._followed) >= SUBSCRIPTIONS_MAX:
            raise errors.ResourceError(
                "subscriptions_full", f"a connection has at most {SUBSCRIPTIONS_MAX} subscriptions",
                hint="unsubscribe from one, or open another connection",
            )  # fmt: skip
        service = self._service
        instrument = await service.run(service.view.resolve, asked.instrument)
        start, since = instant.parse(asked.start, "start"), instant.parse(asked.since, "since")
        wanted = await service.run(_wanted, asked)
        need = Need(wanted, since)
        feed = await service.feeds.join(instrument, asked.interval, need)
        one = _Followed(asked.id, need, feed, start, asked.limit, version=feed.version)
        try:
            await self._send(
                {
                    "type": "subscribed", "id": one.id, "instrument": instrument,
                    "interval": asked.interval, "indicator": wanted.name, "params": dict(wanted.params),
                    "outputs": calculation.outputs(wanted.spec), "memory": wanted.spec.memory,
                    "warm_up": wanted.spec.warm_up,
                }
            )  # fmt: skip
            await self._snapshot(one, start)
        except BaseException:
            await service.feeds.leave(feed, need)
            raise
        self._followed[one.id] = one
        async with service.feeds.moved:
            service.feeds.moved.notify_all()

    async def _unsubscribe(self, message: Mapping[str, Any]) -> None:
        name = message.get("id")
        one = self._followed.pop(name, None) if isinstance(name, int) else None
        if one is None:
            raise errors.NotFoundError(
                "subscription_unknown", f"there is no subscription {str(name)[:40]}",
                hint=f"have: {', '.join(map(str, self._followed)) or 'none'}",
            )  # fmt: skip
        await self._service.feeds.leave(one.feed, one.need)
        await self._send({"type": "unsubscribed", "id": one.id})

    async def _send_new(self, one: _Followed) -> None:
        tick = one.feed.tick
        trouble = one.feed.trouble
        if trouble is not None and one.trouble is not trouble:
            await self._complain(one.id, trouble)
        one.trouble = trouble
        if trouble is None:
            version = one.feed.version
            found = await self._service.run(one.feed.fresh, one.need, one.through, one.version)
            one.version = version
            if not isinstance(found, Fresh):
                begin = one.start if found is None else max(found, one.start or found)
                await self._snapshot(one, begin)
            elif len(found.ts) > SINGLE_MAX:
                await self._snapshot(one, None if one.through is None else one.through + 1)
            else:
                await self._send_fresh(one, found)
        one.tick = tick

    async def _send_fresh(self, one: _Followed, found: Fresh) -> None:
        for at, ts in enumerate(found.ts):
            if one.id not in self._followed:
                return
            values = {name: float(column[at]) for name, column in found.values.items()}
            await self._send(_value(one.id, ts, values, closed=True))
            one.through = ts
        await self._send_current(one, found.current_ts, found.current)

    async def _send_current(self, one: _Followed, ts: int | None, values: dict[str, float]) -> None:
        if ts is None or one.id not in self._followed or _equal(one.current, (ts, values)):
            return
        one.current = ts, values
        await self._send(_value(one.id, ts, values, closed=False))

    async def _snapshot(self, one: _Followed, start: int | None) -> None:
        """Sends bars from `start` on, or the newest, whose values stand for all that was sent of those."""
        from tidemill import calculated

        def made(begin: int | None) -> calculated.Calculated:
            return self._service.view.call(
                lambda live: calculated.calculate(
                    live, one.feed.instrument, one.feed.interval, [one.need.wanted], begin, None, one.limit,
                    since=one.need.since,
                )
            )  # fmt: skip

        found = await self._service.run(made, start)
        if found.bars.more and start is not None:
            # More than the limit: the newest, so that what comes next follows without a hole.
            found = await self._service.run(made, None)
        starts = found.bars.bars["start"]
        low = 0 if start is None else int(starts.searchsorted(start))
        (values,) = found.values
        closed, current = found.closed, found.bars.current
        moving = None
        if len(current):
            moving = {name: float(column[closed]) for name, column in values.columns.items()}
        await self._send(
            {
                "type": "snapshot", "id": one.id,
                "ts": [str(ts) for ts in starts[low:].tolist()],
                "values": {name: column[low:closed] for name, column in values.columns.items()},
                "current": {"ts": str(int(current["start"][0])), "values": moving} if moving else None,
                "began": instant.show(values.began), "complete": found.bars.complete,
            }
        )  # fmt: skip
        one.through = int(starts[-1]) if closed else None
        one.start = int(starts[low]) if low < closed and one.start is None else one.start
        one.current = (int(current["start"][0]), moving) if moving else (None, {})

    async def _complain(self, name: object, error: TidemillError) -> None:
        shown = name if isinstance(name, int) and not isinstance(name, bool) else None
        await self._send({"type": "error", "id": shown, **answer.shape(error)})

    async def _send(self, message: Mapping[str, Any]) -> None:
        await sockets.send(self._socket, message)


def _read(message: Mapping[str, Any]) -> schema.IndicatorSubscribe:
    given = {key: value for key, value in message.items() if key != "op"}
    try:
        return schema.IndicatorSubscribe.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part)[:40] for part in first["loc"])
        raise UsageError(
            "parameter_invalid", f"field {name!r} of subscribe: {first['msg']}", hint="docs/stream.md"
        ) from None


def _wanted(asked: schema.IndicatorSubscribe) -> Wanted:
    from tidemill.calculated import Wanted
    from tidemill.service import series

    series.checked(asked.interval)
    return Wanted.of(asked.indicator, asked.params)


def _value(name: int, ts: int, values: Mapping[str, float], *, closed: bool) -> dict[str, Any]:
    return {"type": "value", "id": name, "ts": str(ts), "closed": closed, "values": dict(values)}


def _equal(
    one: tuple[int | None, Mapping[str, float]], other: tuple[int | None, Mapping[str, float]]
) -> bool:
    """Whether two provisional values are the same; NaN is itself."""
    return one[0] == other[0] and all(
        value == (before := one[1].get(name, math.inf)) or (math.isnan(value) and math.isnan(before))
        for name, value in other[1].items()
    )
