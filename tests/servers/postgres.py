"""PostgreSQL, with and without TimescaleDB, on a socket of its own and a port of loopback."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from pathlib import Path
from urllib.parse import quote

import psycopg

from tests.servers.process import CACHE, Process, found, free_port

TIMESCALE = CACHE / "timescaledb"
_SETTINGS = """
unix_socket_directories = '{folder}'
listen_addresses = '127.0.0.1'
port = {port}
fsync = off
full_page_writes = off
max_connections = 200
shared_buffers = 256MB
max_wal_size = 4GB
log_min_messages = warning
"""
_WITH_TIMESCALE = """
shared_preload_libraries = 'timescaledb'
timescaledb.telemetry_level = off
timescaledb.max_background_workers = 4
"""


class Postgres:
    """One server; `database()` makes an empty database on it."""

    def __init__(self, programs: Path, *, timescale: bool = False, settings: str = "") -> None:
        # Not below a test's own folder: whoever runs it as root runs the server as nobody.
        self.folder = Path(tempfile.mkdtemp(prefix="tidemill-pg-"))
        self.folder.chmod(0o700)
        self.timescale = timescale
        self.port = free_port()
        if os.getuid() == 0:
            shutil.chown(self.folder, "nobody", "nogroup")
        data = self.folder / "data"
        as_nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"]
        subprocess.run(
            [
                *(as_nobody if os.getuid() == 0 else []),
                str(programs / "initdb"), "-D", str(data), "-U", "tidemill", "-A", "trust",
                "--no-sync", "--locale=C.UTF-8", "-E", "UTF8",
            ],
            check=True, capture_output=True, cwd=self.folder,
        )  # fmt: skip
        with (data / "postgresql.conf").open("a") as file:
            file.write(_SETTINGS.format(folder=self.folder, port=self.port))
            file.write(_WITH_TIMESCALE if timescale else "")
            file.write(settings)
        # SIGINT is PostgreSQL's fast shutdown: it does not wait for clients to leave.
        self.process = Process(
            [str(programs / "postgres"), "-D", str(data)],
            self.folder / "log",
            self._ready,
            as_nobody=True,
            stop_signal=signal.SIGINT,
        )

    def __enter__(self) -> Postgres:
        self.process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str = "postgres", *, tcp: bool = False) -> str:
        if tcp:
            return f"postgresql://tidemill@127.0.0.1:{self.port}/{database}"
        return f"postgresql://tidemill@/{database}?host={quote(str(self.folder))}&port={self.port}"

    def database(self) -> str:
        """The address of a new, empty database; with TimescaleDB the extension is in it."""
        name = f"t{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        if self.timescale:
            with psycopg.connect(self.url(name), autocommit=True) as connection:
                connection.execute("CREATE EXTENSION timescaledb")
        return self.url(name)

    def _ready(self) -> bool:
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def plain() -> Path | None:
    """Where PostgreSQL's programs are on this machine."""
    here = found("initdb")
    if here and found("postgres"):
        return here.resolve().parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda at: int(at.parent.name), default=None)


def with_timescale() -> Path | None:
    """Where a PostgreSQL is that brings TimescaleDB: unpacked into `.cache` at the first call."""
    programs = TIMESCALE / "usr/lib/postgresql/17/bin"
    CACHE.mkdir(parents=True, exist_ok=True)
    if os.getuid() == 0 and not all(folder.stat().st_mode & 0o001 for folder in (CACHE, *CACHE.parents)):
        return None  # nobody, whom the server runs as, would not find its programs
    with (CACHE / "timescaledb.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (TIMESCALE / "ready").exists():
            script = Path(__file__).with_name("timescaledb.sh")
            done = subprocess.run(["bash", str(script), str(TIMESCALE)], capture_output=True, check=False)
            (CACHE / "timescaledb.log").write_bytes(done.stdout + done.stderr)
            if done.returncode != 0:
                return None
            (TIMESCALE / "ready").touch()
    return programs
