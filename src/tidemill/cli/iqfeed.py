"""`tidemill iqfeed`: keeps IQConnect alive, and tells how it is."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

import typer
from rich.console import Console

from tidemill import control
from tidemill.cli.app import HomeOption, JsonOption, talk
from tidemill.errors import ConfigError, NotFoundError
from tidemill.home import Home

app = typer.Typer(no_args_is_help=True)
PART = "iqfeed"
VARIABLES = ("DTN_PRODUCT_ID", "DTN_LOGIN", "DTN_PASSWORD")


@app.command("keep-alive")
def keep_alive(
    command: Annotated[
        str | None,
        typer.Option(
            help="What starts IQConnect.",
            envvar="TIDEMILL_IQCONNECT",
            show_default="xvfb-run -a wine …/iqconnect.exe",
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            help="Where IQConnect listens: iqfeed://HOST?admin=9300&lookup=9100.",
            show_default="this machine, IQFEED_HOST and IQFEED_PORT_…",
        ),
    ] = None,
    silence_s: Annotated[
        float, typer.Option(min=0.1, help="Seconds without a word of the admin port until it counts as lost.")
    ] = 5.0,
    failures: Annotated[
        int, typer.Option(min=1, help="Tries in a row to reach it that fail before IQConnect is started.")
    ] = 3,
    retry_s: Annotated[float, typer.Option(min=0.05, help="Seconds between those tries.")] = 1.0,
    ready_s: Annotated[float, typer.Option(min=0.0, help="Seconds that a start may take.")] = 20.0,
    connect_after_s: Annotated[
        float, typer.Option(min=0.1, help="Seconds without DTN until it is told to connect, and again.")
    ] = 30.0,
    restart_after_s: Annotated[
        float, typer.Option(min=0.1, help="Seconds without DTN until it is started anew.")
    ] = 120.0,
    starts: Annotated[int, typer.Option(min=1, help="Starts within the window at most.")] = 5,
    window_s: Annotated[float, typer.Option(min=1.0, help="That window, seconds.")] = 600.0,
    pause_s: Annotated[
        float, typer.Option(min=0.01, help="Seconds between two starts; doubled at each one in the window.")
    ] = 1.0,
    supervised: Annotated[bool, typer.Option("--supervised", help="End at end-of-file on stdin.")] = False,
    home: HomeOption = None,
) -> int:
    """Start DTN's IQConnect where it does not run, and keep it connected. Ctrl+C ends both."""
    from tidemill.iqfeed import keeper as keeping
    from tidemill.iqfeed import program
    from tidemill.iqfeed.address import Address
    from tidemill.iqfeed.watch import Timing
    from tidemill.log import Log

    place = Home.at(home)
    place.create()
    timing = Timing(
        silence_s=silence_s, retry_s=retry_s, failures=failures, ready_s=ready_s,
        connect_after_s=connect_after_s, restart_after_s=restart_after_s, starts=starts, window_s=window_s,
        pause_s=pause_s,
    )  # fmt: skip
    address, login = Address.of(url), _login()
    words = program.command(command)
    log = Log(PART)
    locks = keeping.lock(place, address)
    try:

        async def run() -> None:
            process = program.Program(place, words)
            keeper = keeping.Keeper(place, address, process, login, timing, log)
            log.info("keeper starts", home=str(place.path), address=address.url, has_login=login is not None)
            await keeping.keep(keeper, supervised=supervised)

        asyncio.run(run())
        log.info("keeper ends")
    finally:
        for lock in locks:
            lock.close()
    return 0


def _login() -> Any:
    """The account in the environment or the keyring; None where there is none. Raises `ConfigError` for half
    of one."""
    from tidemill.iqfeed.admin import Login
    from tidemill.providers import credential
    from tidemill.providers.iqfeed import IQFeed

    have = credential.found(IQFeed)
    if not have:
        return None
    missing = [
        variable
        for variable, name in zip(VARIABLES, ("product", "login", "password"), strict=True)
        if name not in have
    ]
    if missing:
        raise ConfigError(
            "credential_invalid",
            f"of DTN's account {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set",
            hint="set all three, in the environment or with `keyring set tidemill NAME`, or none of them",
        )
    return Login(have["product"], have["login"], have["password"])


@app.command()
def status(home: HomeOption = None, as_json: JsonOption = False) -> int:
    """Tell how IQConnect is. Exit code 0 where it is connected to DTN, 8 where not."""
    from tidemill.errors import UpstreamError

    place = Home.at(home)
    try:
        said = control.ask_now(place.control(PART), "status", timeout_s=2.0)
    except control.Unreachable as error:
        raise NotFoundError(
            "not_running",
            f"nobody keeps IQConnect alive in {place.path}: {error}",
            hint="`tidemill iqfeed keep-alive` does",
        ) from error
    code = 0 if said["iqconnect"]["connected"] else UpstreamError.exit_code
    if as_json:
        print(json.dumps(said))
        return code
    program, metrics = said["iqconnect"], said["metrics"]
    out = Console(highlight=False)
    out.print(f"{said['state']} · keeper {said['pid']} · IQConnect {program['pid'] or 'not started by us'}")
    if program["connected"]:
        version, clients = program["version"], metrics["clients"]
        out.print(f"connected to DTN · version {version} · {clients} clients · {metrics['symbols']} symbols")
    out.print(
        f"{metrics['starts']} starts, {metrics['failures']} failures, {metrics['connects']} connects,"
        f" {metrics['reconnections']} reconnections · {said['address']}",
        soft_wrap=True,
    )
    if trouble := said["error"]:
        talk.print(f"{trouble['code']}: {trouble['message']}", markup=False, soft_wrap=True)
        talk.print(f"  → {trouble['hint']}", markup=False, soft_wrap=True)
    return code
