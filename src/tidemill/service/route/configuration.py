"""What a screen must know before it asks for anything else."""

from __future__ import annotations

from pathlib import Path

from fastapi import Request, Response

import tidemill
from tidemill.metadata import collector
from tidemill.model.collector import PROTOCOLS, SIM_PREFIX
from tidemill.service import answer, platform, schema
from tidemill.service.command import command

INTERVALS = ("1s", "5s", "1m", "5m", "15m", "1h", "4h", "1d")
FEATURES = ("bars", "book", "collection", "events", "gaps", "stream", "trades")


@command("config", "GET", "/config", scope="platform", model=schema.Configuration)
async def config(request: Request) -> Response:
    """Version, mode and where things are."""
    service = platform.of(request)
    collectors = await service.read(collector.every)
    wanted = [c.name for c in collectors if c.wanted]
    live = "SIMULATED" if all(name.startswith(SIM_PREFIX) for name in wanted) else "LIVE"
    bridge = (await service.watch.parts(age_s=5.0)).get("bridge")
    port = (bridge.said or {}).get("port") if bridge else None
    return answer.json(
        {
            "version": tidemill.__version__,
            "mode": live if wanted else None,
            "profile": service.config.profile,
            "home": str(service.home.path),
            "port": service.config.port,
            "database": "sqlite" if isinstance(service.metadata.place, Path) else "postgresql",
            "redis": {"off": "none", "closed": "live"}.get(service.cache.state, "away"),
            "stream": "/stream",
            "bridge_port": port if isinstance(port, int) else None,
            "intervals": list(INTERVALS),
            "venues": [c.name for c in collectors],
            "protocols": list(PROTOCOLS),
            "features": list(FEATURES),
        }
    )
