"""A recorder on another machine: the same rows through a relay, also when the relay is killed on the way."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.recorder.test_kill import start_recorder, status, until
from tests.stores.make import START, VENUE, mixed, writer
from tidemill import _native, control, wire
from tidemill.home import Home
from tidemill.stores.lake import Lake
from tidemill.stores.table import BARS, COMMITTED


def start_relay(home: Path, *words: str) -> subprocess.Popen[bytes]:
    relay = subprocess.Popen(
        [sys.executable, "-m", "tidemill", "relay", "--home", str(home), *words],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: answers(home), "the relay answers")
    return relay


def answers(home: Path) -> bool:
    try:
        return bool(_native.relay_venues(str(home / "run" / "relay.sock")))
    except ConnectionError:
        return False


def test_rows_through_a_relay_are_those_of_the_journal(tmp_path: Path) -> None:
    here, there = tmp_path / "a", tmp_path / "b"
    (here / "run").mkdir(parents=True)
    journal = writer(here)
    batches = [mixed(4_000, start=START + i * 10**12, first_id=1 + i * 4_000, seed=i) for i in range(3)]
    journal.append(batches[0])
    relay = start_relay(here)
    socket = here / "run" / "relay.sock"
    recorder = start_recorder(there, "--source", f"relay:{socket}")
    try:
        until(lambda: status(there).get("metrics", {}).get("records") == 4_000, "the first batch is stored")
        journal.append(batches[1])
        relay.kill()
        relay.wait()
        journal.append(batches[2])
        relay = start_relay(here)
        until(lambda: status(there)["metrics"]["records"] == 12_000, "the rest is stored")
        answer = status(there)["venues"][VENUE]
        assert (answer["sequence"], answer["lost"]) == (12_000, 0)
        recorder.send_signal(signal.SIGTERM)
        assert recorder.wait(15) == 0
    finally:
        for process in (relay, recorder):
            if process.poll() is None:
                process.kill()
                process.wait()
    records = np.concatenate(batches)
    lake = Lake(there / "lake")
    found = {table.name: lake.read(table) for table in COMMITTED}
    stored = [s for name, rows in found.items() if name != BARS.name for s in rows["sequence"].to_pylist()]
    assert sorted(stored) == list(range(1, 12_001))
    assert len(found["trades"]) == (records["kind"] == wire.KIND_TRADE).sum()
    assert set(found["trades"]["instrument"].to_pylist()) == {
        one["name"] for one in _native.instruments(str(here), VENUE)
    }
    assert len(found["bars"]) > 1_000


def certificate(folder: Path, name: str = "localhost", days: int = 2) -> Path:
    """Makes `ca.pem`, and `relay.pem` with `relay.key` signed by it."""
    folder.mkdir(parents=True, exist_ok=True)

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=a test", "-days", "2")
    openssl("req", *new, "-keyout", "relay.key", "-out", "relay.csr", "-subj", "/CN=relay")
    (folder / "names").write_text(f"subjectAltName=DNS:{name}\n")
    openssl(
        "x509", "-req", "-in", "relay.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
        "-out", "relay.pem", "-days", str(days), "-extfile", "names",
    )  # fmt: skip
    (folder / "relay.key").chmod(0o600)
    return folder


def test_rows_over_tls_are_those_of_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = tmp_path / "a", tmp_path / "b"
    shown, other = certificate(tmp_path / "shown"), certificate(tmp_path / "other")
    token = tmp_path / "token"
    token.write_text("a token of thirty-two characters")
    token.chmod(0o600)
    (here / "run").mkdir(parents=True)
    journal = writer(here)
    records = mixed(4_000)
    journal.append(records)
    relay = start_relay(
        here, "--listen", "127.0.0.1:0", "--token-file", str(token),
        "--tls-cert", str(shown / "relay.pem"), "--tls-key", str(shown / "relay.key"),
    )  # fmt: skip
    recorder = None
    try:
        port = control.ask_now(Home(here).control("relay"), "status")["listen"].rpartition(":")[2]
        address = f"tls:localhost:{port}"
        for ca, host, reason in (
            (other / "ca.pem", "localhost", "nobody this machine trusts|does not hold"),
            (None, "localhost", "nobody this machine trusts"),
            (shown / "ca.pem", "127.0.0.1", "for another host"),
        ):
            with pytest.raises(ConnectionError, match=reason):
                _native.relay_venues(f"tls:{host}:{port}", token.read_text(), ca)
        with pytest.raises(ConnectionError, match="token_refused"):
            _native.relay_venues(address, "another token of thirty-two char", shown / "ca.pem")
        with pytest.raises(ConnectionError, match="tls_required"):
            _native.relay_venues(f"localhost:{port}", token.read_text())

        monkeypatch.setenv("TIDEMILL_RELAY_CA", str(shown / "ca.pem"))
        monkeypatch.setenv("TIDEMILL_RELAY_TOKEN", token.read_text())
        recorder = start_recorder(there, "--source", f"relay:{address}")
        until(lambda: status(there).get("metrics", {}).get("records") == 4_000, "all is stored", 60)
        recorder.send_signal(signal.SIGTERM)
        assert recorder.wait(30) == 0
    finally:
        for process in (relay, recorder):
            if process and process.poll() is None:
                process.kill()
                process.wait()
    lake = Lake(there / "lake")
    found = {table.name: lake.read(table) for table in COMMITTED if table is not BARS}
    stored = [s for rows in found.values() for s in rows["sequence"].to_pylist()]
    assert sorted(stored) == list(range(1, 4_001))
    trades = found["trades"]
    expected = records[records["kind"] == wire.KIND_TRADE]
    assert trades["price"].to_pylist() == expected["price"].tolist()


def test_a_source_that_is_none(tmp_path: Path) -> None:
    process = start_recorder(tmp_path / "home", "--source", "carrier-pigeon")
    assert process.wait(30) == 2
