"""The parts of a platform and their command lines: pure, from what is wanted and what the simulator says."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tidemill.model.collector import SELLERS, SIM_PREFIX, Collector

# What others wait for comes first.
START_ORDER = ("sim", "collector", "service", "recorder", "relay", "bridge", "worker")
# Invented records are kept so long, and the journals of the three venues of a default platform within 2 GiB.
SIM_KEEP_HOURS = 48
SIM_JOURNAL_BYTES = (2 << 30) // 3


@dataclass(frozen=True)
class Settings:
    """What `tidemill up` was asked for."""

    home: str
    host: str = "127.0.0.1"
    port: int = 8484
    bridge_port: int = 0
    seed: int = 42
    rate: int = 200
    sim_port_base: int = 0
    keep_raw: bool = False
    sim_truth: str | None = None
    # A part that gives no answer for so long is killed and started again; 0 is never.
    hung_s: float = 60.0
    extra: dict[str, list[str]] = field(default_factory=dict)


def command(*words: str) -> list[str]:
    """A command line that runs one part with this very Python."""
    return [sys.executable, "-m", "tidemill", *words]


def parts(
    settings: Settings,
    collectors: list[Collector],
    sim: dict[str, Any] | None,
    simulated: Iterable[str] = (),
) -> dict[str, list[str]]:
    """Name and command line of every part that should run now.

    `sim` is what the simulator wrote to `run/sim.json`, None while it has not: its collectors wait for it.
    `simulated` are protocols it goes on simulating although nobody collects them now: one process plays
    all its venues, and the others must not feel that one of them is stopped.
    """
    home = ["--home", settings.home, "--supervised"]
    planned: dict[str, list[str]] = {}
    protocols = sorted({*simulated, *simulated_protocols(collectors)})
    venues = [protocol for protocol in protocols if protocol not in SELLERS]
    sellers = sorted({SELLERS[protocol] for protocol in protocols if protocol in SELLERS})
    if protocols:
        planned["sim"] = command(
            "sim", *home,
            *(["--venues", ",".join(venues)] if venues else []),
            *(["--providers", ",".join(sellers)] if sellers else []),
            "--seed", str(settings.seed),
            "--rate", str(settings.rate),
            "--port-base", str(settings.sim_port_base),
            *(["--truth", settings.sim_truth] if settings.sim_truth else []),
        )  # fmt: skip
    for collector in collectors:
        url, rest_url, bounds = collector.url, collector.rest_url, []
        if collector.simulated:
            venue = _simulated_at(sim or {}, collector)
            if venue is None:
                continue
            url, rest_url = venue
            bounds = [
                "--journal-keep-hours", str(SIM_KEEP_HOURS),
                "--journal-max-bytes", str(SIM_JOURNAL_BYTES),
            ]  # fmt: skip
        planned[f"collector-{collector.name}"] = command(
            "collector", collector.protocol, *home,
            "--name", collector.name,
            *(["--instruments", ",".join(collector.instruments)] if collector.instruments else []),
            *(["--url", url] if url else []),
            *(["--rest-url", rest_url] if rest_url else []),
            *(["--keep-raw"] if settings.keep_raw else []),
            *bounds,
        )  # fmt: skip
    planned["recorder"] = command("recorder", *home)
    planned["relay"] = command("relay", *home)
    planned["bridge"] = command("bridge", *home, "--port", str(settings.bridge_port))
    planned["worker"] = command("worker", *home, "--seed", str(settings.seed))
    planned["service"] = command("serve", *home, "--host", settings.host, "--port", str(settings.port))
    for name, words in settings.extra.items():
        if name in planned:
            planned[name] = [*planned[name], *words]
    return planned


def _simulated_at(sim: dict[str, Any], collector: Collector) -> tuple[str, str | None] | None:
    """Addresses of the stream and of REST, once the simulator has said them."""
    if collector.protocol in SELLERS:
        said = sim.get("providers", {}).get(SIM_PREFIX + SELLERS[collector.protocol])
        return (f"tcp://{said['level1']}", None) if said else None
    said = sim.get("venues", {}).get(collector.name)
    return (said["url"], said["rest_url"]) if said else None


def simulated_protocols(collectors: Iterable[Collector]) -> set[str]:
    """Protocols that the simulator must speak for these collectors."""
    return {c.protocol for c in collectors if c.simulated}


def order(name: str) -> int:
    """Place of a part in the start order."""
    return START_ORDER.index(name.split("-", 1)[0])
