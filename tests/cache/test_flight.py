"""Single flight: one making for all who wait, its failure for all of them, and no end with the first."""

from __future__ import annotations

import asyncio

import pytest

from tidemill.cache import Flight


def test_two_hundred_misses_are_one_computation() -> None:
    made: list[str] = []

    async def main() -> list[int]:
        flight = Flight()

        async def make() -> int:
            made.append("x")
            await asyncio.sleep(0.05)
            return 7

        return await asyncio.gather(*(flight.once("key", make) for _ in range(200)))

    assert asyncio.run(main()) == [7] * 200
    assert made == ["x"]


def test_a_failure_is_everybodys_and_the_next_tries_again() -> None:
    async def main() -> None:
        flight = Flight()

        async def fail() -> int:
            await asyncio.sleep(0.01)
            raise KeyError("x")

        async def work() -> int:
            return 7

        said = await asyncio.gather(*(flight.once("key", fail) for _ in range(5)), return_exceptions=True)
        assert [type(one) for one in said] == [KeyError] * 5
        assert await flight.once("key", work) == 7

    asyncio.run(main())


def test_it_goes_on_when_whoever_began_it_leaves() -> None:
    async def main() -> None:
        flight = Flight()

        async def make() -> int:
            await asyncio.sleep(0.05)
            return 7

        first = asyncio.ensure_future(flight.once("key", make))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(flight.once("key", make))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert await second == 7

    asyncio.run(main())
