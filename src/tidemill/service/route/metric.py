"""Prometheus metrics of the service and of every part that answers, each with its part as a label."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterable

from fastapi import Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from tidemill import control
from tidemill.jobs import metric
from tidemill.service import platform
from tidemill.service.command import command
from tidemill.service.health import expected
from tidemill.service.part import Watch

_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})?\s+(\S+)(\s+-?\d+)?")
_SUFFIXES = ("_bucket", "_sum", "_count", "_total", "_created")


@command("metrics", "GET", "/metrics", scope="platform", base="", media=("text/plain",))
async def metrics(request: Request) -> Response:
    """Metrics of all parts in Prometheus' text format."""
    service = platform.of(request)
    texts = {"service": generate_latest(service.metrics.registry).decode()}
    with contextlib.suppress(Exception):  # a database that is down is told by health, not by no metrics
        texts["service"] += await service.read(metric.of_queue)
    names = service.watch.names()
    for name, text in zip(
        names, await asyncio.gather(*(_ask(service.watch, name) for name in names)), strict=True
    ):
        if text:
            texts[name] = text
    seen = await service.watch.parts()
    wanted, _ = await expected(service, seen)
    return Response(merge(texts, wanted - texts.keys()), media_type=CONTENT_TYPE_LATEST)


async def _ask(watch: Watch, name: str) -> str:
    try:
        return str((await watch.ask(name, "metrics")).get("text", ""))
    except control.Unreachable:
        return ""


def merge(texts: dict[str, str], down: Iterable[str] = ()) -> str:
    """One exposition out of several: each family once, its samples together and labelled with their part.
    Parts that are `down` should be there and did not answer."""
    heads: dict[str, dict[str, str]] = {}
    samples: dict[str, list[str]] = {}
    up = [f'tidemill_part_up{{part="{part}"}} 1' for part in texts]
    up += [f'tidemill_part_up{{part="{part}"}} 0' for part in sorted(down)]
    for part, text in texts.items():
        for line in text.splitlines():
            if line.startswith("# "):
                word, name, rest = (*line[2:].split(" ", 2), "", "")[:3]
                if word in ("HELP", "TYPE"):
                    heads.setdefault(name, {}).setdefault(word, rest)
                continue
            found = _SAMPLE.fullmatch(line.strip())
            if found is None:
                continue
            name, labels, value, when = found.groups()
            inside = (labels or "{}")[1:-1].rstrip(",")
            if 'part="' not in inside:
                inside = f'part="{part}"' + (f",{inside}" if inside else "")
            samples.setdefault(_family(name, heads), []).append(f"{name}{{{inside}}} {value}{when or ''}")
    lines = [
        "# HELP tidemill_part_up Whether a part that should be there answered.",
        "# TYPE tidemill_part_up gauge",
        *up,
    ]
    for family, rows in samples.items():
        for word, rest in heads.get(family, {}).items():
            lines.append(f"# {word} {family} {rest}")
        lines += rows
    return "\n".join(lines) + "\n"


def _family(name: str, heads: dict[str, dict[str, str]]) -> str:
    if name in heads:
        return name
    for suffix in _SUFFIXES:
        if name.endswith(suffix) and name.removesuffix(suffix) in heads:
            return name.removesuffix(suffix)
    return name
