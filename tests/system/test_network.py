"""The way to a venue: certificates, proxies, a network that swallows packets."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.system import solo
from tests.system.authority import Authority
from tests.system.check import judge_trades
from tests.system.harness import Journal, journal_records
from tests.system.line import Proxy, forwarder
from tests.system.oracle import truth_lines

VENUE = "sim-kraken"
INSTRUMENTS = ("--instruments", "BTC-USD,ETH-USD", "--segment-bytes", str(4 << 20))
USER = "tide"
PASSWORD = "canary-4711"


@pytest.fixture(scope="module")
def venue(module_path: Path) -> Iterator[dict[str, Any]]:
    with solo.simulator(module_path / "venue", "--venues", "kraken", "--rate", "200") as said:
        yield said["venues"][VENUE]


@pytest.fixture(scope="module")
def authority(module_path: Path) -> Authority:
    return Authority(module_path / "ca")


def address(venue: dict[str, Any]) -> tuple[str, int]:
    there = urlsplit(venue["rest_url"])
    assert there.hostname
    assert there.port
    return there.hostname, there.port


@pytest.mark.timeout(120)
def test_a_certificate_that_does_not_hold_is_refused_in_words(
    venue: dict[str, Any], authority: Authority, tmp_path: Path
) -> None:
    """A23: one collector for each thing that a server can show, all at once."""
    there = address(venue)
    trust = {"SSL_CERT_FILE": str(authority.certificate)}
    shown = {
        "good": (authority.server("good", "localhost"), "live"),
        "expired": (authority.server("expired", "localhost", expired=True), "has expired"),
        "other-host": (authority.server("other", "venue.test"), "for another host"),
        "self-signed": (authority.server("self", "localhost", stranger=True), "signed by itself alone"),
        "no-tls": (None, "does not speak TLS"),
    }
    with contextlib.ExitStack() as stack:
        parts = {}
        for name, (context, _) in shown.items():
            port = stack.enter_context(forwarder(there, context))
            # The table comes from a good address, so that the WebSocket is asked for at all.
            rest = f"https://localhost:{port}" if name == "good" else venue["rest_url"]
            parts[name] = stack.enter_context(
                solo.collector(
                    tmp_path / name, "kraken", f"wss://localhost:{port}/v2", rest, *INSTRUMENTS, env=trust
                )
            )
        strange = Authority(tmp_path / "strange").server("strange", "localhost")
        rest_only = stack.enter_context(forwarder(there, strange))
        parts["rest"] = stack.enter_context(
            solo.collector(
                tmp_path / "rest", "kraken", venue["url"], f"https://localhost:{rest_only}", *INSTRUMENTS,
                env=trust,
            )
        )  # fmt: skip
        distrusting = stack.enter_context(forwarder(there, shown["good"][0]))
        parts["untrusted"] = stack.enter_context(
            solo.collector(
                tmp_path / "untrusted", "kraken", f"wss://localhost:{distrusting}/v2", venue["rest_url"],
                *INSTRUMENTS, env={"SSL_CERT_FILE": str(tmp_path / "none.pem")},
            )
        )  # fmt: skip
        parts["good"].live()
        parts["good"].records(50)
        words = {name: word for name, (_, word) in shown.items()}
        words |= {"rest": "nobody this machine trusts", "untrusted": "SSL_CERT_FILE"}
        for name, word in words.items():
            if name != "good":
                assert word in parts[name].error(), name
                said = parts[name].status()
                assert said["state"] != "live"
                assert said["messages"] == 0, f"{name} was listened to"


@pytest.mark.timeout(120)
def test_a_proxy_is_used_for_everything_or_the_reason_is_told(
    venue: dict[str, Any], authority: Authority, tmp_path: Path
) -> None:
    """Names here exist only for the proxy: whoever comes through was led by it."""
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(forwarder(address(venue), authority.server("venue", "venue.test")))
        hosts = {"venue.test": ("127.0.0.1", port), "plain.test": address(venue)}
        secret = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        proxies = {
            name: stack.enter_context(Proxy(hosts, secret).running())
            for name in ("tls", "plain", "wrong", "forbidden", "none", "local")
        }

        def start(name: str, url: str, rest: str, login: str = f"{USER}:{PASSWORD}", **env: str) -> solo.Part:
            proxy = f"http://{login}@127.0.0.1:{proxies[name].port}"
            env = {"HTTPS_PROXY": proxy, "http_proxy": proxy} | env
            env["SSL_CERT_FILE"] = str(authority.certificate)
            return stack.enter_context(
                solo.collector(tmp_path / name, "kraken", url, rest, *INSTRUMENTS, env=env)
            )

        secure = ("wss://venue.test/v2", "https://venue.test")
        parts = {
            "tls": start("tls", *secure),
            "plain": start("plain", "ws://plain.test/v2", "http://plain.test"),
            "wrong": start("wrong", *secure, login=f"{USER}:not-{PASSWORD}"),
            "forbidden": start("forbidden", "wss://other.test/v2", "https://other.test"),
            "none": start("none", *secure, NO_PROXY="venue.test"),
            "local": start("local", venue["url"], venue["rest_url"]),
        }
        for name in ("tls", "plain", "local"):
            parts[name].live()
            parts[name].records(20)
        assert "407 Proxy Authentication Required" in parts["wrong"].error()
        assert "403 Forbidden" in parts["forbidden"].error()
        assert "no address for venue.test" in parts["none"].error()
        assert set(proxies["tls"].asked) == {"CONNECT venue.test:443 HTTP/1.1"}
        assert len(proxies["tls"].asked) >= 2, "table and stream"
        verbs = {line.split(" ")[0]: line.split(" ")[1] for line in proxies["plain"].asked}
        assert verbs["CONNECT"] == "plain.test:80"
        assert verbs["GET"].startswith("http://plain.test/0/public/AssetPairs")
        assert set(proxies["forbidden"].asked) == {"CONNECT other.test:443 HTTP/1.1"}
        assert not proxies["none"].asked, "NO_PROXY was not honoured"
        assert not proxies["local"].asked, "this machine is reached directly"
        for name, part in parts.items():
            assert PASSWORD not in part.log.read_text() + str(part.status()), f"{name} told the password"


def _address_of(text: str) -> bool:
    return os.geteuid() == 0 and shutil.which(text) is not None


needs_network = pytest.mark.skipif(
    not _address_of("ip"), reason="a network of its own needs root and iproute2"
)


@pytest.mark.timeout(150)
@needs_network
def test_a_network_that_swallows_packets_is_found_out_and_left(tmp_path: Path) -> None:
    """A03: no FIN, no RST: both ends believe in the connection, and only silence tells."""
    with _cable() as (near, far), contextlib.ExitStack() as stack:
        truth = tmp_path / "truth.jsonl"
        sim = solo.simulator(
            tmp_path / "sim", "--venues", "kraken", "--rate", "300", "--truth", str(truth), prefix=far.enter
        )
        host, port = address(stack.enter_context(sim)["venues"][VENUE])
        line = [*far.enter, sys.executable, "-m", "tests.system.line", far.host, "7000", host, str(port)]
        forward = subprocess.Popen(line, stdout=subprocess.PIPE)
        stack.callback(forward.wait)
        stack.callback(forward.kill)
        assert forward.stdout
        assert forward.stdout.readline() == b"ready\n"
        there = f"{far.host}:7000"
        part = stack.enter_context(
            solo.collector(
                tmp_path / "home", "kraken", f"ws://{there}/v2", f"http://{there}", *INSTRUMENTS,
                prefix=near.enter,
            )
        )  # fmt: skip
        part.live()
        part.records(200)
        far.set_link("down")
        began = time.monotonic()
        said = part.until("finds out", lambda said: said["state"] == "reconnecting", 45)
        assert time.monotonic() - began < 20, "a silence of 5 s is enough"
        assert said["gaps_open"] >= 1
        far.set_link("up")
        part.live(60)
        part.records(200)
        part.until("has closed its gaps", lambda said: said["gaps_open"] == 0)
        assert part.stop() == 0
        records, _ = journal_records(tmp_path / "home", VENUE)
        stall = records[(records["kind"] == 6) & (records["size_scale"] == 2)]
        assert len(stall), "no gap bears the cause stall"
        verdict = judge_trades(truth_lines(truth), Journal(tmp_path / "home", VENUE))
        assert verdict.clean, str(verdict)


class _End:
    """One end of a cable, in a network namespace of its own."""

    def __init__(self, name: str, host: str) -> None:
        self.name, self.host = name, host
        self.enter = ["ip", "netns", "exec", name]

    def set_link(self, state: str) -> None:
        """`down` is a pulled cable: what is sent is lost, and nobody is told."""
        _ip("-n", self.name, "link", "set", "line", state)


@contextlib.contextmanager
def _cable() -> Iterator[tuple[_End, _End]]:
    tag = f"tm{os.getpid()}"
    ends = _End(f"{tag}a", "10.213.7.1"), _End(f"{tag}b", "10.213.7.2")
    try:
        for end in ends:
            _ip("netns", "add", end.name)
            _ip("-n", end.name, "link", "set", "lo", "up")
        _ip("link", "add", "line", "netns", ends[0].name, "type", "veth",
            "peer", "name", "line", "netns", ends[1].name)  # fmt: skip
        for end in ends:
            _ip("-n", end.name, "address", "add", f"{end.host}/24", "dev", "line")
            end.set_link("up")
        yield ends
    finally:
        for end in ends:
            with contextlib.suppress(AssertionError):
                _ip("netns", "del", end.name)


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
