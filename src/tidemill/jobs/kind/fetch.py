"""History from a provider into the store, by up to 50 workers under one limit per key."""

from __future__ import annotations

from typing import Any, ClassVar

from tidemill.jobs.kind.api import Context, Kind, Stopped


class Fetch:
    """`provider`, `symbols`, `kind` (bars, trades), `interval`, `start`, `end`, `workers`, `options` of the
    provider, `again`. Result: `instruments`, `rows`, `chunks`, `requests`, `bytes`, `held`, `empty`,
    `not_found`.

    A chunk that is held already is not asked for again, unless `again`. A symbol that the provider does not
    have ends alone; a key that is refused, or a chunk that does not come after all tries, ends the job, and
    what has come is kept.
    """

    summary: ClassVar[str] = "history fetched from a provider"
    memory_bytes: ClassVar[int] = 0

    def check(self, detail: dict[str, Any]) -> dict[str, Any]:
        from tidemill.jobs.fetch.order import Order

        return Order.of(detail).detail()

    def run(self, context: Context, detail: dict[str, Any]) -> dict[str, Any]:
        import asyncio

        from tidemill.jobs.fetch import work
        from tidemill.jobs.fetch.order import Order
        from tidemill.stores.opening import open_store

        store = open_store(context.home.path)
        try:
            return asyncio.run(work.run(context, Order.of(detail), store))
        except work.CancelledByUser:
            raise Stopped from None
        finally:
            store.close()


plugin: type[Kind] = Fetch
