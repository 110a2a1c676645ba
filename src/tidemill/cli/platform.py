"""`tidemill up | down | open | status | connect`: one local platform and its parts."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from tidemill import control, errors
from tidemill.address import VARIABLES, named
from tidemill.cli import net
from tidemill.cli.app import (
    LOG_LINES,
    LOGGED_AS,
    HomeOption,
    JsonOption,
    LogLinesOption,
    TrustOption,
    talk,
    told,
)
from tidemill.home import Home, Lock
from tidemill.log import Log
from tidemill.model.collector import SELLERS, SIM_PREFIX, Collector
from tidemill.supervisor import plan
from tidemill.supervisor.supervisor import Supervisor, read_state

DEFAULT_PORT = 8484
READY_S = 60.0
DOWN_S = 60.0
CONNECT_S = 10.0
IQCONNECT_HINT = "`tidemill iqfeed keep-alive` starts IQConnect (docs/iqfeed.md)"
PROXY_HINT = "Proxies (HTTPS_PROXY) and own certificates (SSL_CERT_FILE) are honoured"
# A part that gives no answer within this is called stale.
SILENT_S = 2.0
# One port for each simulated venue, one for the simulator's control, one for each of its providers.
SIM_PORTS = (0, 1, 2, 3, 9, 10, 11)

# Parts that units or people run beside `tidemill up`, or without it on a machine of their own.
BESIDE = ("publisher", "uploader", "iqfeed")

PortOption = Annotated[
    int, typer.Option("--port", help="Port for people.", envvar="TIDEMILL_PORT", min=1, max=65535)
]
BrowserOption = Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")]


def register(app: typer.Typer) -> None:
    """Adds these commands to the application."""
    from tidemill.cli.doctor import doctor

    app.command()(up)
    app.command()(down)
    app.command("open")(open_)
    app.command()(status)
    app.command()(connect)
    app.command()(doctor)


def up(
    home: HomeOption = None,
    port: PortOption = DEFAULT_PORT,
    venues: Annotated[
        str | None,
        typer.Option(
            help="Venues to collect, e.g. kraken,coinbase,binance.", show_default="the simulated ones"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the simulated venues.", min=0)] = 42,
    rate: Annotated[
        int, typer.Option(help="Messages per second of the simulated venues, in all.", min=1)
    ] = 200,
    keep_raw: Annotated[
        bool, typer.Option("--keep-raw", help="Keep the venues' messages byte for byte.")
    ] = False,
    truth: Annotated[
        str | None,
        typer.Option(help="File for what the simulated venues really did (JSON lines).", show_default="none"),
    ] = None,
    hung_s: Annotated[
        float,
        typer.Option(help="Seconds without an answer after which a part is started anew; 0 never.", min=0),
    ] = 60,
    browser: BrowserOption = True,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return once the platform is ready; `tidemill down` ends it.")
    ] = False,
    trust_local_code: TrustOption = False,
    log_lines: LogLinesOption = False,
) -> int:
    """Start a whole local platform. Ctrl+C stops it."""
    from tidemill.cli import wish

    started = time.monotonic()
    place = Home.at(home)
    place.create()
    # Every part would refuse them, one by one and for ever.
    place.read_token()
    place.read_secret()
    for variable in VARIABLES:
        named(variable)
    asked = wish.parse_venues(venues) if venues is not None else None
    configured = wish.from_config(place)
    if detach:
        return _detached(place, port, browser, started)
    lock = Lock(place.lock, f"home {place.path}")
    try:
        net.require_free(port)
        settings = plan.Settings(
            home=str(place.path), port=port, seed=seed, rate=rate, keep_raw=keep_raw, sim_truth=truth,
            sim_port_base=net.free_block(SIM_PORTS, str(place.path)), hung_s=hung_s,
        )  # fmt: skip

        def open_wanted() -> Callable[[], list[Collector]]:
            from tidemill.metadata import Metadata

            metadata = Metadata.of(place)
            wish.set_wanted(metadata, asked, configured)
            return lambda: wish.wanted(metadata)

        supervisor = Supervisor(place, settings, open_wanted)
        log = Log(LOGGED_AS["up"]) if log_lines else None
        announce = threading.Thread(target=_announce, args=(place, port, browser, started, log), daemon=True)
        announce.start()
        unfinished = asyncio.run(supervisor.run())
        (log.info if log else talk.print)(_farewell(unfinished))
    finally:
        lock.close()
    return 0


def _farewell(unfinished: list[str]) -> str:
    if not unfinished:
        return "stopped; everything collected is stored"
    return (
        f"stopped; {', '.join(unfinished)} did not end in order: what is not stored yet is in the journal,"
        " and the next `tidemill up` stores it"
    )


def _announce(home: Home, port: int, browser: bool, started: float, log: Log | None) -> None:
    """Says when the service answers, with an address that lets a browser in: to people, as a log keeps no
    keys. The page itself shows what is still on its way."""
    if _wait(home, port, lambda answer: True):
        took_s = time.monotonic() - started
        if log:
            log.info("the platform answers", port=port, home=str(home.path), after_s=round(took_s, 1))
        else:
            talk.print(f"Tidemill answers after {took_s:.1f} s · home {home.path}", soft_wrap=True)
            _invite(home, port, browser)
    settled = _wait(home, port, lambda answer: _settled(home, answer))
    for notice in _notices(home, health(home, port)):
        if log:
            log.warn(notice)
        else:
            talk.print(notice, style="yellow", markup=False)
    if not settled:
        late = f"not ready after {READY_S:g} s: `tidemill status` names the part, its log is in {home.logs}"
        (log.warn if log else talk.print)(late)


def _invite(home: Home, port: int, browser: bool) -> None:
    """Lets a browser in, or says why it cannot: the platform does its work without one."""
    try:
        url = page_url(home, port)
    except Exception as error:
        known = told(error)
        if known is None:
            raise
        talk.print(
            f"  no browser can be let in: {known.message}", style="yellow", markup=False, soft_wrap=True
        )
        return
    talk.print(f"  {url}", soft_wrap=True)
    talk.print("  Ctrl+C stops it · `tidemill status` · `tidemill connect kraken` for real data")
    show(url, browser)


def _settled(home: Home, answer: dict[str, Any]) -> bool:
    """Whether nothing is left to wait for: all is ready, but for venues out there that cannot be reached."""
    return all(part["ready"] or _unreachable(home, part) for part in answer["parts"])


def _notices(home: Home, answer: dict[str, Any] | None) -> list[str]:
    """What to say of each real venue that cannot be reached; the platform does its work without it."""
    return [
        f"{part['part'].removeprefix('collector-')} cannot be reached: {why}; it goes on trying. {PROXY_HINT}"
        for part in (answer or {}).get("parts", [])
        if (why := _unreachable(home, part))
    ]


def _unreachable(home: Home, part: dict[str, Any]) -> str:
    """Why the collector of a real venue has no connection, in its own words; empty for any other part."""
    venue = part["part"].removeprefix("collector-")
    if part["ready"] or venue == part["part"] or venue.startswith(SIM_PREFIX):
        return ""
    try:
        said = control.ask_now(home.control(part["part"]), "status")
    except control.Unreachable:
        return ""
    return str((said.get("error") or {}).get("message", ""))


def _wait(
    home: Home,
    port: int,
    enough: Callable[[dict[str, Any]], bool],
    process: subprocess.Popen[bytes] | None = None,
) -> bool:
    """Whether the platform's health was `enough` in time; ends early when `process` ended."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and (process is None or process.poll() is None):
        answer = health(home, port)
        if answer and enough(answer):
            return True
        time.sleep(0.05)
    return False


def health(home: Home, port: int) -> dict[str, Any] | None:
    """The service's own word on the platform; None when it does not answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/api/v1/health", headers={"Authorization": f"Bearer {home.read_token()}"})
        answer = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return answer if isinstance(answer, dict) and "ready" in answer else None


def page_url(home: Home, port: int) -> str:
    """The page's address with a new one-use key in the fragment, which never reaches a server or a log."""
    from tidemill.metadata import Metadata

    return f"http://127.0.0.1:{port}/#key={Metadata.of(home).new_key(actor='owner')}"


def show(url: str, browser: bool) -> None:
    """Opens an address in a browser, where there is a screen."""
    display = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if browser and display:
        with contextlib.suppress(webbrowser.Error):
            webbrowser.open(url)


def _detached(home: Home, port: int, browser: bool, started: float) -> int:
    state = read_state(home)
    if state:
        raise errors.ConflictError(
            "home_held",
            f"home {home.path} is held by process {state['pid']} on port {state['port']}",
            hint="`tidemill open` shows it, `tidemill down` ends it",
        )
    net.require_free(port)
    words = [word for word in sys.argv[1:] if word not in ("--detach", "--browser")]
    path = home.log(LOGGED_AS["up"])
    with path.open("ab") as log:
        begins = log.tell()
        process = subprocess.Popen(
            plan.command(*words, "--no-browser", LOG_LINES),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    if not _wait(home, port, lambda answer: _settled(home, answer), process):
        if process.poll() is not None:
            raise _last_error(path, begins) or errors.InternalError(
                "ended", f"the platform ended with exit code {process.returncode}", hint=f"see {path}"
            )
        raise errors.DeadlineError(
            "not_ready",
            f"the platform is not ready after {READY_S:g} s",
            hint=f"`tidemill status` names the part; see {path}",
        )
    talk.print(
        f"Tidemill is up in {time.monotonic() - started:.1f} s · process {process.pid} · home {home.path}"
    )
    for notice in _notices(home, health(home, port)):
        talk.print(notice, style="yellow", markup=False)
    talk.print("  `tidemill down` ends it · `tidemill status`")
    url = page_url(home, port)
    print(url)
    show(url, browser)
    return 0


def _last_error(log: Path, begins: int) -> errors.TidemillError | None:
    """The last error that a log holds after its byte `begins`."""
    for line in reversed(log.read_bytes()[begins:].splitlines()):
        with contextlib.suppress(ValueError, AttributeError):
            said = json.loads(line).get("error")
            if isinstance(said, dict):
                return errors.from_dict(said)
    return None


def down(home: HomeOption = None) -> int:
    """Stop the platform of this home; everything collected is stored first."""
    pid = _running(Home.at(home))["pid"]
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + DOWN_S
    while time.monotonic() < deadline:
        if _is_gone(pid):
            talk.print("stopped; `tidemill up` starts it again")
            return 0
        time.sleep(0.05)
    raise errors.DeadlineError(
        "still_running", f"process {pid} still runs after {DOWN_S:g} s", hint="see `tidemill status`"
    )


def open_(home: HomeOption = None, browser: BrowserOption = True) -> int:
    """Print the page's address with a new one-use key, and open it."""
    place = Home.at(home)
    url = page_url(place, _running(place)["port"])
    print(url)
    show(url, browser)
    return 0


def status(home: HomeOption = None, json_: JsonOption = False) -> int:
    """Every part with its process, state and ports; what the home takes on disk."""
    place = Home.at(home)
    answer = platform_status(place)
    code = 0 if answer["running"] or answer["parts"] else errors.NotFoundError.exit_code
    if json_:
        print(json.dumps(answer, indent=2))
        return code
    if not answer["running"]:
        if not answer["parts"]:
            talk.print(f"no platform runs at {place.path}; `tidemill up` starts it")
            return code
        talk.print(f"no platform runs at {place.path}, only what was started by itself:")
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("part", "state", "pid", "restarts", "detail"):
        table.add_column(name, justify="right" if name in ("pid", "restarts") else "left")
    for part in answer["parts"]:
        pid = str(part["pid"] or "—")
        table.add_row(part["part"], part["state"], pid, str(part["restarts"]), part.get("detail", ""))
    out = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    out.print(table)
    disk, store = answer["disk"], answer["store"]
    failing = store["failing_since_ns"]
    away = f" · nothing was kept for {(time.time_ns() - failing) // 10**9} s" if failing else ""
    out.print(f"store {store['address']}{away}")
    if answer["running"]:
        out.print(f"page  http://127.0.0.1:{answer['port']} (`tidemill open` lets a browser in)")
    out.print(
        f"home  {place.path} · {_bytes_text(disk['bytes'])} used, {_bytes_text(disk['free_bytes'])} free"
    )
    return code


def platform_status(home: Home) -> dict[str, Any]:
    """What the supervisor and every part say of themselves, and what the home takes on disk."""
    return asyncio.run(_status(home))


async def _status(home: Home) -> dict[str, Any]:
    disk = await asyncio.to_thread(_disk_use, home.path)
    try:
        answer = await control.ask(home.control("supervisor"), "status", timeout_s=SILENT_S)
    except control.Silent as silent:
        answer = _without_supervisor(home, silent)
    except control.Unreachable:
        answer = {}
    parts = list(answer["parts"]) if answer else []
    known = {part["part"] for part in parts}
    beside = [name for name in BESIDE if name not in known and f"{name}.ctl" in home.sockets()]
    parts += [{"part": name, "state": "stopped", "pid": None, "restarts": 0} for name in beside]

    async def describe(part: dict[str, Any]) -> None:
        try:
            said = await control.ask(home.control(part["part"]), "status", timeout_s=SILENT_S)
            pid = part["pid"] or said.get("pid")
            part.update({**said, "part": part["part"], "pid": pid})
        except control.Silent as silent:
            part["state"], part["error"] = "stale", {"message": f"its process runs: {silent}"}
        except control.Unreachable:
            pass
        part["detail"] = _detail(part)

    await asyncio.gather(*(describe(part) for part in parts))
    parts = [part for part in parts if part["pid"] or part["part"] not in beside]
    if not answer:
        return {
            "running": False,
            "home": str(home.path),
            "parts": parts,
            "disk": disk,
            "store": _store(home, parts),
        }
    supervisor = {
        "part": "supervisor",
        "pid": answer["pid"],
        "state": answer["state"],
        "restarts": 0,
        "error": answer.get("error"),
        "detail": _detail(answer),
    }
    return {
        "running": True,
        "home": str(home.path),
        "port": answer["port"],
        "ports": _ports(home, answer["port"], parts),
        "parts": [supervisor, *parts],
        "disk": disk,
        "store": _store(home, parts),
    }


def _store(home: Home, parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Where rows go, and since when none can be kept there: `address`, `failing_since_ns`. Recorder or
    uploader may have been given another store than this command."""
    from tidemill.stores.opening import place

    writers = {part["part"]: part for part in parts if part["part"] in ("recorder", "uploader")}
    writer = writers.get("recorder") or writers.get("uploader") or {}
    return {
        "address": writer.get("store") or place(home.path),
        "failing_since_ns": writer.get("failing_since_ns"),
    }


def _without_supervisor(home: Home, silent: control.Silent) -> dict[str, Any]:
    """What is known of a platform whose supervisor is stopped or busy: its parts go on and have sockets.
    Empty where none runs."""
    state = read_state(home)
    if state is None:
        return {}
    names = {name.removesuffix(".ctl") for name in home.sockets() if name.endswith(".ctl")}
    parts = [
        {"part": name, "state": "stopped", "pid": None, "restarts": 0}
        for name in sorted(names - {"supervisor"})
    ]
    return {**state, "state": "stale", "error": {"message": f"its process runs: {silent}"}, "parts": parts}


def _ports(home: Home, port: int, parts: list[dict[str, Any]]) -> dict[str, Any]:
    ports: dict[str, Any] = {"service": port}
    for part in parts:
        if part["part"] == "bridge" and part.get("port"):
            ports["bridge"] = part["port"]
    with contextlib.suppress(OSError, ValueError, KeyError):
        said = json.loads((home.run / "sim.json").read_text())
        ports["sim"] = {name: venue["url"] for name, venue in said["venues"].items()}
        ports["sim_control"] = said["control"]
    return ports


def _detail(part: dict[str, Any]) -> str:
    error = part.get("error")
    if isinstance(error, dict):
        to_do = error.get("hint") if error.get("category") in ("auth", "config") else None
        return f"{error.get('message', '')}{f': {to_do}' if to_do else ''}"
    if part.get("messages_per_s") is not None:
        return f"{part['messages_per_s']:,.0f} messages/s"
    metrics = part.get("metrics") or {}
    if part.get("part") in BESIDE and "lag_records" in metrics:
        deep = (
            f", {metrics['stream_entries']:,} entries in the streams" if "stream_entries" in metrics else ""
        )
        return f"{metrics['lag_records']:,} records behind{deep}"
    if part.get("retry_in_s"):
        return f"ended with {part['last_exit']}, next start in {part['retry_in_s']} s"
    return ""


def connect(
    venue: Annotated[
        str,
        typer.Argument(
            help="kraken, coinbase, coinbase-advanced, binance, alpaca, alpaca-sip, polygon or iqfeed;"
            " with --poll a provider."
        ),
    ],
    instruments: Annotated[
        str | None,
        typer.Option(help="Instruments, e.g. BTC-USD,ETH-USD or AAPL.", show_default="BTC and ETH, or AAPL"),
    ] = None,
    poll: Annotated[
        bool, typer.Option("--poll", help="A provider without a stream, and its own symbols: ask it again.")
    ] = False,
    home: HomeOption = None,
) -> int:
    """Collect a real venue from now on. Public market data needs no key; Alpaca and Polygon do."""
    from tidemill.cli import wish
    from tidemill.metadata import Metadata

    place = Home.at(home)
    place.create()
    if poll:
        chosen = wish.parse_polled(venue.strip(), instruments or "")
        names = chosen.instruments
    else:
        chosen = wish.parse_venue(venue.strip())
        names = wish.parse_instruments(instruments, chosen) if instruments else chosen.instruments
    if not chosen.simulated:
        _check_key(place, chosen.name if poll else SELLERS.get(chosen.protocol))
    Metadata.of(place).want(chosen.name, chosen.protocol, names, actor="owner", url=chosen.url)
    if not read_state(place):
        talk.print(f"{chosen.name} will be collected; `tidemill up` starts the platform")
        return 0
    with contextlib.suppress(control.Unreachable):  # it looks by itself, only later
        control.ask_now(place.control("supervisor"), "reconcile")
    talk.print(f"connecting to {chosen.name} …")
    wanted = wish.polled_names(chosen) if poll else {f"{name}.{chosen.name}" for name in names}
    said = _wait_for_live(place, chosen.name, wanted)
    if _is_live(said, wanted):
        talk.print(f"{chosen.name} is live: {', '.join(said['instruments'])} · `tidemill open` shows it")
        return 0
    error = said.get("error") or {}
    if error.get("category") in (errors.NotFoundError.category, errors.AuthError.category):
        raise errors.from_dict(error)
    why = error.get("message", "it has not answered yet")
    raise errors.UpstreamError(
        "venue_unreachable",
        f"{chosen.name} cannot be reached: {why}",
        hint=f"it goes on trying. {IQCONNECT_HINT if chosen.protocol == 'iqfeed' else PROXY_HINT}",
    )


def _check_key(home: Home, provider: str | None) -> None:
    """Raises `AuthError` where the platform has no key of a provider that wants one. What counts is what its
    parts are started with; before it runs, what this command has."""
    if provider is None:
        return
    with contextlib.suppress(control.Unreachable):
        error = control.ask_now(home.control("supervisor"), "lacks", provider=provider).get("error")
        if error is None:
            return
        raise errors.AuthError(
            error["code"],
            f"{error['message']} where `tidemill up` runs",
            hint="set it there and start it again, or `keyring set tidemill NAME`; docs/providers.md",
        )
    from tidemill.providers import credential, load

    credential.of(load(provider))


def _is_live(said: dict[str, Any], wanted: set[str]) -> bool:
    return said.get("state") == "live" and set(said.get("instruments", ())) == wanted


def _wait_for_live(home: Home, venue: str, wanted: set[str]) -> dict[str, Any]:
    """What the collector of a venue says once it collects what is wanted, or cannot, or the time is over."""
    deadline = time.monotonic() + CONNECT_S
    said: dict[str, Any] = {}
    while time.monotonic() < deadline:
        with contextlib.suppress(control.Unreachable):
            said = control.ask_now(home.control(f"collector-{venue}"), "status")
            if _is_live(said, wanted) or said.get("error"):
                break
        time.sleep(0.2)
    return said


def _running(home: Home) -> dict[str, Any]:
    state = read_state(home)
    if state is None:
        raise errors.NotFoundError(
            "not_running", f"no platform runs at {home.path}", hint="`tidemill up` starts one"
        )
    return state


def _disk_use(path: Path) -> dict[str, Any]:
    """Bytes by folder of a home, as they are reserved on the disk, and what is free."""
    folders: dict[str, int] = {}
    for root, _folders, files in os.walk(path):
        top = (Path(root).relative_to(path).parts or (".",))[0]
        for file in files:
            with contextlib.suppress(OSError):
                folders[top] = folders.get(top, 0) + (Path(root) / file).lstat().st_blocks * 512
    return {"bytes": sum(folders.values()), "folders": folders, "free_bytes": free_bytes(path)}


def free_bytes(path: Path) -> int:
    """What is free on the disk that holds `path`, or will hold it once it is made."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free


def _bytes_text(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    with contextlib.suppress(OSError):
        # A zombie has ended; its parent just has not asked yet.
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    return False
