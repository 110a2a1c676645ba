"""Where a machine cannot isolate: the local profile asks for a switch, the team profile refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tidemill import address, errors, sandbox
from tidemill.cli import doctor
from tidemill.home import Home
from tidemill.sandbox import command, isolation

SOURCE = "def main(tables):\n    return 1"


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No bubblewrap, no setting of a team, no switch."""
    monkeypatch.setattr(isolation, "bwrap", lambda: None)
    for variable in (*address.VARIABLES, isolation.TRUST):
        monkeypatch.delenv(variable, raising=False)
    isolation.available.cache_clear()
    yield
    isolation.available.cache_clear()


def refused() -> errors.ConfigError:
    with pytest.raises(errors.ConfigError) as caught:
        sandbox.run("call", {"source": SOURCE}, {})
    assert caught.value.code == "sandbox_missing"
    return caught.value


def test_without_bubblewrap_nothing_runs(alone: None) -> None:
    error = refused()
    assert "bubblewrap is not installed" in error.message
    assert "apt-get install bubblewrap" in error.hint
    assert "--trust-local-code" in error.hint


def test_the_switch_lets_it_run_in_the_local_profile(alone: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(isolation.TRUST, "1")
    assert sandbox.run("call", {"source": SOURCE}, {}).result == {"value": 1}


def test_only_the_exact_switch_does(alone: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(isolation.TRUST, "0")
    refused()


@pytest.mark.parametrize("variable", sorted(address.VARIABLES))
def test_a_team_is_refused_whatever_the_switch(
    alone: None, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(isolation.TRUST, "1")
    monkeypatch.setenv(variable, "redis://nowhere:1/0")
    error = refused()
    assert "team" in error.message
    assert "--trust-local-code" not in error.hint


def test_an_old_or_broken_bubblewrap_is_said(
    alone: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "bwrap"
    monkeypatch.setattr(isolation, "bwrap", lambda: str(program))
    for text, word in (
        ("echo bubblewrap 0.6.1", "too old"),
        ('[ "$1" = --version ] && echo bubblewrap 0.9.0 || { echo Not allowed >&2; exit 1; }', "Not allowed"),
    ):  # fmt: skip
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
        isolation.available.cache_clear()
        found = sandbox.available()
        assert not found.ok
        assert word in found.reasons[0]
        assert found.fix


def test_doctor_says_so(alone: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [finding] = doctor._sandbox(Home(tmp_path))
    assert (finding.check, finding.verdict) == ("sandbox", "warn")
    assert "bubblewrap" in finding.fix


def test_doctor_starts_one(isolated: sandbox.Isolation, tmp_path: Path) -> None:
    [finding] = doctor._sandbox(Home(tmp_path))
    assert finding.check == "sandbox"
    assert finding.verdict == ("warn" if isolated.reasons else "ok")


def test_nothing_of_ours_is_bound_but_libraries() -> None:
    said = command.bubblewrap(sandbox.Limits(), 9)
    places = [said[at + 2] for at, word in enumerate(said) if word == "--ro-bind"]
    for place in places:
        assert place.startswith(("/usr/", "/lib", "/tidemill/", "/etc/ld", "/etc/localtime")) or (
            "/lib" in place or "/bin/python" in place or place.endswith("pyvenv.cfg")
        ), place
    assert not {"/", "/etc", "/home", "/root", "/run", "/var", "/sys"} & set(places)
    assert "--bind" not in said
