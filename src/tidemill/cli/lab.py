"""`tidemill lab`: notebooks over this home."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from tidemill import errors
from tidemill.cli import net
from tidemill.cli.app import HomeOption, JsonOption, talk
from tidemill.cli.platform import BrowserOption, show
from tidemill.home import Home
from tidemill.lab import server, state
from tidemill.lab.gallery import Kind


def lab(
    marimo: Annotated[bool, typer.Option("--marimo", help="marimo instead of JupyterLab.")] = False,
    port: Annotated[
        int, typer.Option(help="Port on this machine.", show_default="a free one", min=0, max=65535)
    ] = 0,
    notebooks: Annotated[
        str | None, typer.Option(help="Folder of the notebooks.", show_default="DIR/notebooks")
    ] = None,
    show_: Annotated[
        bool, typer.Option("--show", help="Print the address of the lab that runs, and open it.")
    ] = False,
    browser: BrowserOption = True,
    home: HomeOption = None,
    json_: JsonOption = False,
    supervised: Annotated[bool, typer.Option("--supervised", hidden=True)] = False,
) -> int:
    """Open JupyterLab with notebooks that read this home. Ctrl+C ends it."""
    kind: Kind = "marimo" if marimo else "jupyter"
    place = Home.at(home)
    if show_:
        _invite(_running(place), browser, json_)
        return 0
    server.require(kind)
    place.create()
    if port:
        net.require_free(port)

    def ready(found: state.State, written: list[str]) -> None:
        if supervised:
            return  # its output is a log, and a log keeps no keys
        if written:
            talk.print(f"{len(written)} notebooks were copied to {found.folder}", soft_wrap=True)
        if place.running() is None:
            talk.print("No platform runs here: notebooks read what is on disk · `tidemill up` starts one")
        _invite(found, browser, json_)
        talk.print("  Ctrl+C ends it, with its kernels")

    return server.serve(
        place, kind, port=port, notebooks=server.folder(place, notebooks), supervised=supervised, ready=ready
    )


def _running(home: Home) -> state.State:
    found = state.read(home)
    if found is None:
        raise errors.NotFoundError(
            "lab_stopped", f"no lab runs on {home.path}", hint="`tidemill lab` starts one"
        )
    return found


def _invite(found: state.State, browser: bool, json_: bool) -> None:
    """Prints the address with its token on stdout, which is the person's own."""
    url = found.url()
    if json_:
        said = {
            "kind": found.kind, "url": url, "port": found.port, "token": found.token, "pid": found.pid,
            "folder": found.folder,
        }  # fmt: skip
        print(json.dumps(said), flush=True)
        return
    print(url, flush=True)
    show(url, browser)
