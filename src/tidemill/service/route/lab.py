"""The lab: JupyterLab or marimo beside the platform, with an origin and a token of its own."""

from __future__ import annotations

from typing import Annotated

from fastapi import Body, Request, Response

from tidemill.service import answer, platform
from tidemill.service import lab as schema
from tidemill.service.command import command


@command("lab", "GET", "/lab", scope="platform", model=schema.LabTold)
async def show(request: Request) -> Response:
    """The notebooks that there are, and the lab that runs, with the address that lets the owner in."""
    service = platform.of(request)
    return answer.json(await service.run(service.lab.told))


@command("lab.start", "POST", "/lab", scope="platform", effect="write", model=schema.LabTold, status=202)
async def start(request: Request, body: Annotated[schema.LabStart | None, Body()] = None) -> Response:
    """Start a lab on this machine, unless it runs; `GET /lab` says when it answers. Local profile only."""
    service = platform.of(request)
    await service.run(service.lab.start, body.kind if body else "jupyter")
    return answer.json(await service.run(service.lab.told), 202)


@command("lab.stop", "DELETE", "/lab", scope="platform", effect="write", model=schema.LabTold)
async def stop(request: Request) -> Response:
    """End the lab with all its kernels, whoever started it."""
    service = platform.of(request)
    await service.run(service.lab.stop)
    return answer.json(await service.run(service.lab.told))
