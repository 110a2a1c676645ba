"""kill -9 of publisher and uploaders under load: every record of the journal in one row, none in two."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from tests.bus.parts import GROUP, Load, Part, check, killed, load, publisher, uploader, wait_stored
from tests.servers import redis as redis_server
from tests.system import report
from tests.system.harness import seeded, until

RATE = 2_000


@pytest.fixture(scope="module")
def own_redis():
    """A Redis that these tests may flush, stop and fill."""
    program = redis_server.program()
    if program is None:
        pytest.skip("no Redis here: install Debian's redis-server")
    with redis_server.Redis(program) as server:
        yield server


def test_first(own_redis, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    out, up = publisher(here, own_redis.url()), uploader(there, own_redis.url())
    with load(here, RATE) as writing, killed(out, up):
        out.start()
        up.start()
        time.sleep(6)
        last = writing.stop()
        print(out.status()); print(up.status())
        wait_stored(there / "lake", last, 20)
        time.sleep(2)
        print(out.status()); print(up.status())
        assert up.stop() == 0
        assert out.stop() == 0
        print(out.tale()); print(up.tale())
    print(check(here, there / "lake"))
