"""`tidemill doctor`: looks at a home and this machine, names the cause of what is wrong and the fix."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from tidemill import address, errors
from tidemill.cli.app import HomeOption, JsonOption
from tidemill.cli.net import listening_process, port_is_free
from tidemill.home import Home
from tidemill.model.collector import SIM_PREFIX, Collector
from tidemill.supervisor.supervisor import read_state

FREE_BYTES_MIN = 2 << 30
# Mapped files are not coherent between machines there, so a journal would lie.
SHARED_FILESYSTEMS = (
    "nfs",
    "cifs",
    "smb",
    "fuse",
    "9p",
    "ceph",
    "gluster",
    "lustre",
    "afs",
    "vboxsf",
    "virtiofs",
)
CLOCK_STEP_S = 1.0
HOSTS = {
    "kraken": "ws.kraken.com",
    "coinbase": "ws-feed.exchange.coinbase.com",
    "coinbase-advanced": "advanced-trade-ws.coinbase.com",
    "binance": "data-stream.binance.vision",
    "alpaca": "stream.data.alpaca.markets",
    "alpaca-sip": "stream.data.alpaca.markets",
    "polygon": "socket.massive.com",
}

# A part that is not wanted has stopped.
AS_WANTED = ("live", "running", "idle", "ready", "stopped")
JOURNAL_READ_S = 10.0
LAKE_READ_S = 10.0
JOURNAL_RECORDS = 1 << 20

Verdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    check: str
    verdict: Verdict
    found: str
    fix: str = ""


Check = Callable[[Home], Iterator[Finding]]


def doctor(home: HomeOption = None, json_: JsonOption = False) -> int:
    """Look for what is wrong: each finding names the cause and the fix."""
    place = Home.at(home)
    findings = [finding for check in CHECKS for finding in _look(check, place)]
    if json_:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _print(findings)
    return errors.ConfigError.exit_code if any(f.verdict == "fail" for f in findings) else 0


def _look(check: Check, home: Home) -> Iterator[Finding]:
    """What a check finds. One that fails itself has found something too, and must not hide the others."""
    try:
        yield from check(home)
    except errors.TidemillError as error:
        yield Finding(check.__name__.strip("_"), "fail", error.message, error.hint)
    except Exception as error:
        yield Finding(
            check.__name__.strip("_"), "fail", f"cannot be looked at: {type(error).__name__}: {error}",
            f"see whether {home.path} and what is in it can be read by this user",
        )  # fmt: skip


def _print(findings: list[Finding]) -> None:
    from rich.console import Console

    # Into a file or a pipe each finding is one line.
    out = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    marks = {"ok": "[green]ok  [/green]", "warn": "[yellow]warn[/yellow]", "fail": "[red]fail[/red]"}
    for finding in findings:
        out.print(f"{marks[finding.verdict]} {finding.check:<12} ", end="")
        out.print(finding.found, markup=False)
        if finding.fix:
            out.print(f"                  → {finding.fix}", markup=False)
    worst = sum(f.verdict == "fail" for f in findings)
    doubts = sum(f.verdict == "warn" for f in findings)
    if worst:
        out.print(f"{worst} to mend; the first is often the cause of the rest")
    else:
        out.print(f"nothing is broken, {doubts} to look at" if doubts else "nothing is wrong")


def _python(_home: Home) -> Iterator[Finding]:
    version = platform.python_version()
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        yield Finding(
            "python", "fail", f"Python {version}; Tidemill runs on 3.11, 3.12 and 3.13", "use one of those"
        )
        return
    try:
        from tidemill import _native
    except ImportError as error:
        yield Finding(
            "extension",
            "fail",
            f"the compiled part cannot be loaded: {error}",
            "`make build`, or reinstall the wheel",
        )
        return
    yield Finding("python", "ok", f"Python {version}, compiled part {_native.__version__}")


def _folder(home: Home) -> Iterator[Finding]:
    if not home.path.exists():
        yield Finding("home", "ok", f"{home.path} does not exist yet; `tidemill up` makes it")
        return
    if not home.path.is_dir():
        yield Finding("home", "fail", f"{home.path} is not a folder", "choose another with --home DIR")
        return
    kind = _filesystem(home.path)
    if kind.startswith(SHARED_FILESYSTEMS):
        yield Finding(
            "home", "fail", f"{home.path} is on {kind}, where mapped files are not coherent",
            "put the home on a local disk: --home DIR or TIDEMILL_HOME",
        )  # fmt: skip
    elif not os.access(home.path, os.W_OK):
        yield Finding(
            "home",
            "fail",
            f"{home.path} cannot be written by this user",
            "chown or choose another with --home DIR",
        )
    else:
        yield Finding("home", "ok", f"{home.path} on {kind}")
    yield from _foreign(home)
    for secret in (home.token, home.secret):
        with contextlib.suppress(FileNotFoundError):
            mode = secret.stat().st_mode
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                yield Finding("secret", "fail", f"{secret} can be read by other users", f"chmod 600 {secret}")


def _foreign(home: Home) -> Iterator[Finding]:
    """Files of another user, as one start with sudo leaves them: a part that meets one cannot start."""
    own = os.geteuid()
    for path in (home.path, *sorted(home.path.glob("*")), *sorted(home.path.glob("*/*"))):
        with contextlib.suppress(OSError):
            uid = path.lstat().st_uid
            if uid != own:
                yield Finding(
                    "owner", "fail", f"{path} belongs to user {_user(uid)}, and this is {_user(own)}",
                    f"chown -R {_user(own)} {home.path}, or run every command as {_user(uid)}",
                )  # fmt: skip
                return


def _user(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _filesystem(path: Path) -> str:
    """Type of the file system that holds `path`; `unknown` where the system does not say."""
    best, kind = "", "unknown"
    with contextlib.suppress(OSError):
        for line in Path("/proc/mounts").read_text().splitlines():
            _device, mount, name = line.split()[:3]
            if str(path.resolve()).startswith(mount.rstrip("/") + "/") and len(mount) > len(best):
                best, kind = mount, name
        if not best:
            kind = next(
                line.split()[2]
                for line in Path("/proc/mounts").read_text().splitlines()
                if line.split()[1] == "/"
            )
    return kind


def _disk(home: Home) -> Iterator[Finding]:
    place = home.path
    while not place.exists():
        place = place.parent
    usage = shutil.disk_usage(place)
    text = f"{usage.free / 1e9:.1f} GB free of {usage.total / 1e9:.0f} GB"
    if usage.free < FREE_BYTES_MIN:
        yield Finding(
            "disk", "fail", f"only {text}", "free some space; what cannot be stored becomes a recorded gap"
        )
    else:
        yield Finding("disk", "ok", text)


def _port(home: Home) -> Iterator[Finding]:
    state = read_state(home)
    if state:
        yield Finding("port", "ok", f"the platform runs as process {state['pid']} on port {state['port']}")
        return
    text = os.environ.get("TIDEMILL_PORT") or "8484"
    port = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= port <= 65535:
        yield Finding(
            "port", "fail", f"TIDEMILL_PORT is {text!r}, which is no port",
            "set a number from 1 to 65535, or unset it",
        )  # fmt: skip
    elif port_is_free(port):
        yield Finding("port", "ok", f"port {port} is free")
    else:
        holder = listening_process(port)
        yield Finding(
            "port", "fail", f"port {port} is held by {holder}", "end it, or choose another with --port N"
        )


def _orphans(home: Home) -> Iterator[Finding]:
    state = read_state(home)
    if state or not home.run.exists():
        return
    needle = str(home.path).encode()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if b"tidemill" in words and b"--supervised" in words and needle in words:
                name = b" ".join(words[3:5]).decode(errors="replace")
                yield Finding(
                    "orphan",
                    "warn",
                    f"process {entry.name} ({name}) runs without a supervisor",
                    f"kill {entry.name}",
                )


def _parts(home: Home) -> Iterator[Finding]:
    from tidemill.cli.platform import platform_status

    if not read_state(home):
        return
    answer = platform_status(home)
    for part in answer["parts"]:
        if part["state"] in AS_WANTED:
            continue
        why = (part.get("error") or {}).get("message") or part.get("detail") or part["state"]
        yield Finding(part["part"], "warn", f"{part['state']}: {why}", f"its log is {home.log(part['part'])}")


def _database(home: Home) -> Iterator[Finding]:
    url = address.named("TIDEMILL_DATABASE_URL")
    if url is not None:
        yield _database_server(url)
        return
    if not home.database.exists():
        return
    import sqlite3

    try:
        with contextlib.closing(
            sqlite3.connect(f"file:{home.database}?mode=ro", uri=True, timeout=2)
        ) as connection:
            [verdict] = connection.execute("pragma quick_check(1)").fetchone()
    except sqlite3.Error as error:
        verdict = str(error)
    if verdict == "ok":
        yield Finding("database", "ok", f"{home.database.name} is sound")
    else:
        yield Finding(
            "database", "fail", f"{home.database} is damaged: {verdict}",
            "move it aside; wishes and events are lost, market data is not",
        )  # fmt: skip


def _database_server(url: str) -> Finding:
    from tidemill.metadata import database

    try:
        found = database.version(url)
    except Exception as error:
        told = error if isinstance(error, errors.TidemillError) else database.failure(error, url)
        return Finding("database", "fail", told.message, told.hint)
    state = f"at version {found}" if found else "empty: `tidemill up` makes the tables"
    return Finding("database", "ok", f"{address.shown(url)} answers, {state}")


def _journal(home: Home) -> Iterator[Finding]:
    """Reads every journal: a damaged frame is skipped by all readers, so nobody else complains of it."""
    if not home.journal.is_dir():
        return
    from tidemill import _native

    sound, left = [], 0.0
    deadline = time.monotonic() + JOURNAL_READ_S
    for folder in sorted(home.journal.iterdir()):
        try:
            reader = _native.JournalReader(str(home.path), folder.name)
            reader.seek("oldest")
            while time.monotonic() < deadline and reader.read(JOURNAL_RECORDS, 0) is not None:
                pass
            lost = reader.take_lost()
        except (OSError, RuntimeError, ValueError, errors.TidemillError) as error:
            yield Finding(
                "journal", "fail", f"the journal of {folder.name} cannot be read: {error}",
                f"`tidemill data verify {folder.name}` tells what the lake has; then move {folder} aside",
            )  # fmt: skip
            continue
        if lost:
            epoch, first, beyond, _why = lost[0]
            count = sum(one[2] - one[1] for one in lost)
            yield Finding(
                "journal", "fail",
                f"{count} records of {folder.name} are damaged, the first at {epoch}:{first} to {beyond - 1}",
                "look at the disk; what they held is a recorded gap, unless"
                f" `tidemill data verify {folder.name}` says that the lake has it",
            )  # fmt: skip
        else:
            sound.append(folder.name)
        left = time.monotonic() - deadline
    if sound:
        some = f" as far as {JOURNAL_READ_S:g} s of reading went" if left > 0 else ""
        yield Finding("journal", "ok", f"no damage in {', '.join(sound)}{some}")


def _lake(home: Home) -> Iterator[Finding]:
    """Opens every table and reads the footers of its files: a damaged one is silent until it is asked for."""
    if not home.lake.is_dir() and not os.environ.get("TIDEMILL_LAKE_URL"):
        return
    from pyarrow import ArrowException

    from tidemill.stores.delta import open_file
    from tidemill.stores.lake import Lake
    from tidemill.stores.table import TABLES

    lake = Lake.of(home.path)
    deadline = time.monotonic() + LAKE_READ_S
    fix = "put it back from a copy of the lake; `tidemill data verify` tells what it held"
    read = damaged = 0
    for table in TABLES.values():
        try:
            snapshot = lake.snapshot(table)
        except Exception as error:
            damaged += 1
            yield Finding("lake", "fail", f"table {table.name} of {lake.path} cannot be opened: {error}", fix)
            continue
        for file in snapshot.files if snapshot else ():
            path = lake.path / table.name / file.path
            if time.monotonic() > deadline:
                break
            try:
                open_file(path).close()
                read += 1
            except (OSError, ArrowException) as error:
                after = lake.snapshot(table)
                if after and file.path in {one.path for one in after.files}:
                    damaged += 1
                    yield Finding("lake", "fail", f"{path} cannot be read: {error}", fix)
    if not damaged:
        some = f", as far as {LAKE_READ_S:g} s of reading went" if time.monotonic() > deadline else ""
        yield Finding("lake", "ok", f"{read} files are whole at their ends{some}")


def _store(home: Home) -> Iterator[Finding]:
    """Asks the store for one offset: where rows go when that is not the lake alone."""
    from tidemill.stores.opening import is_lake, open_store, place

    if is_lake():
        return
    from tidemill.stores.api import UnavailableError
    from tidemill.stores.table import BARS

    where = place(home.path)
    store = open_store(home.path)
    try:
        store.offset(BARS, "doctor")
    except UnavailableError as error:
        yield Finding(
            "store", "fail", error.message,
            "start it, or mend TIDEMILL_STORE_URL; journals keep what arrives meanwhile",
        )  # fmt: skip
    else:
        yield Finding("store", "ok", f"{where} answers")
    finally:
        store.close()


def _redis(_home: Home) -> Iterator[Finding]:
    """Asks what is on a Redis whether it answers: each setting by itself, it may be another server."""
    for variable, what, loss in (
        ("TIDEMILL_REDIS_URL", "redis", "nothing is lost meanwhile, answers take longer"),
        ("TIDEMILL_BROKER_URL", "broker", "no job is lost meanwhile, and none begins"),
        ("TIDEMILL_BUS_URL", "bus", "journals keep what arrives meanwhile"),
    ):
        url = address.named(variable)
        if url is None or address.scheme(url) not in ("redis", "rediss"):
            continue
        try:
            import redis
        except ModuleNotFoundError:
            yield Finding(
                what,
                "fail",
                f"{variable} is set and redis-py is not installed",
                "pip install 'tidemill[team]'",
            )
            continue
        try:
            with redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2) as client:
                client.ping()
        except (redis.RedisError, OSError, ValueError) as error:
            yield Finding(
                what, "fail", f"{address.shown(url)} does not answer: {error}",
                f"start it, or mend {variable}; {loss}",
            )  # fmt: skip
        else:
            yield Finding(what, "ok", f"{address.shown(url)} answers")


def _clock(_home: Home) -> Iterator[Finding]:
    # A wall clock that jumps shows as a difference between two readings of wall minus monotonic.
    before = time.time() - time.monotonic()
    time.sleep(0.05)
    step = abs((time.time() - time.monotonic()) - before)
    if step > CLOCK_STEP_S:
        yield Finding(
            "clock",
            "warn",
            f"the wall clock jumped by {step:.1f} s while being watched",
            "let one time service set it, smoothly",
        )
    synced = None
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run(
            ["timedatectl", "show", "-p", "NTPSynchronized", "--value"],
            capture_output=True,
            text=True,
            timeout=2,
        )
        synced = said.stdout.strip() or None
    if synced == "no":
        yield Finding(
            "clock",
            "warn",
            "the wall clock is not synchronised",
            "turn NTP on: arrival times are only as good as it",
        )


def _venues(home: Home) -> Iterator[Finding]:
    """Real venues that are wanted: can their host be found and reached from here?"""
    if not home.database.exists() and address.named("TIDEMILL_DATABASE_URL") is None:
        return
    from tidemill.cli.wish import wanted
    from tidemill.metadata import Metadata

    try:
        collectors = wanted(Metadata.of(home))
    except errors.TidemillError:
        return  # `_database` tells it
    proxy = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy")
    for collector in collectors:
        if collector.protocol == "iqfeed" and not collector.name.startswith(SIM_PREFIX):
            yield _iqconnect(collector)
            continue
        host = HOSTS.get(collector.protocol)
        if collector.url or collector.name.startswith(SIM_PREFIX) or not host:
            continue
        if proxy:
            yield Finding(collector.name, "ok", f"{host} is reached through the proxy in HTTPS_PROXY")
            continue
        try:
            socket.create_connection((host, 443), timeout=3).close()
        except OSError as error:
            yield Finding(
                collector.name, "fail", f"{host}:443 cannot be reached: {error.strerror or error}",
                "check the network; behind a proxy set HTTPS_PROXY, with a company certificate SSL_CERT_FILE",
            )  # fmt: skip
        else:
            yield Finding(collector.name, "ok", f"{host}:443 answers")


def _iqconnect(collector: Collector) -> Finding:
    """Does IQConnect listen, where its stream is wanted?"""
    from tidemill.iqfeed.address import Address

    said = Address.of()
    host, port = said.host, said.level1
    if collector.url:
        host, _, text = collector.url.removeprefix("tcp://").rpartition(":")
        host, port = host.strip("[]"), int(text)
    try:
        socket.create_connection((host, port), timeout=3).close()
    except OSError as error:
        return Finding(
            collector.name, "fail", f"IQConnect does not listen at {host}:{port}: {error.strerror or error}",
            "`tidemill iqfeed keep-alive` starts it; IQFEED_HOST and IQFEED_PORT_QUOTE say where it is",
        )  # fmt: skip
    return Finding(collector.name, "ok", f"IQConnect listens at {host}:{port}")


def _sandbox(_home: Home) -> Iterator[Finding]:
    """Starts one: code that comes over HTTP or from a model runs nowhere else."""
    from tidemill import sandbox
    from tidemill.sandbox import isolation

    found = sandbox.available()
    if not found.ok:
        why = f"code of others cannot be run here: {'; '.join(found.reasons)}"
        if os.environ.get(isolation.TRUST) == "1":
            why += f"; {isolation.TRUST} runs it unheld"
        yield Finding("sandbox", "warn", why, found.fix)
    elif found.reasons:
        yield Finding("sandbox", "warn", "; ".join(found.reasons), found.fix)
    else:
        yield Finding("sandbox", "ok", f"code of others is held by {', '.join(found.holds)}")


CHECKS: tuple[Check, ...] = (
    _python, _folder, _disk, _port, _orphans, _database, _journal, _lake, _store, _redis, _clock, _venues,
    _sandbox, _parts,
)  # fmt: skip
