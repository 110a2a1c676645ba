"""A home: what it keeps private is whole or not there, and lets nobody in by being empty."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tidemill.errors import ConfigError
from tidemill.home import Home

Read = Callable[[Home], object]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.at(tmp_path / "home")


def test_of_many_starts_at_once_all_have_one_token(home: Home) -> None:
    def start(_number: int) -> tuple[str, bytes]:
        home.create()
        return home.read_token(), home.read_secret()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(start, range(32)))) == 1
    assert {path.name for path in home.path.iterdir() if path.is_file()} == {"token", "secret"}
    assert home.token.stat().st_mode & 0o777 == 0o600


def test_a_start_that_fails_while_it_writes_leaves_no_token(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="No space left"):
        home.create()
    assert [path for path in home.path.iterdir() if path.is_file()] == []
    monkeypatch.undo()
    home.create()
    assert len(home.read_token()) == 64


@pytest.mark.parametrize("text", ["", "\n", "a" * 15])
def test_a_token_too_short_to_keep_anyone_out_is_refused(home: Home, text: str) -> None:
    home.create()
    home.token.write_text(text)
    with pytest.raises(ConfigError) as refused:
        home.read_token()
    assert refused.value.code == "token_short"
    assert str(home.token) in refused.value.hint


@pytest.mark.parametrize(
    ("name", "read", "codes"),
    [
        ("token", Home.read_token, ("token_missing", "token_exposed")),
        ("secret", Home.read_secret, ("secret_unreadable", "secret_exposed")),
    ],
)
def test_what_others_can_read_or_nobody_is_refused(
    home: Home, name: str, read: Read, codes: tuple[str, str]
) -> None:
    home.create()
    (home.path / name).chmod(0o644)
    with pytest.raises(ConfigError) as exposed:
        read(home)
    (home.path / name).unlink()
    with pytest.raises(ConfigError) as missing:
        read(home)
    assert (missing.value.code, exposed.value.code) == codes


@pytest.mark.parametrize(("text", "code"), [("", "secret_short"), ("xyz", "secret_unreadable")])
def test_a_secret_that_is_no_key_is_refused(home: Home, text: str, code: str) -> None:
    home.create()
    home.secret.write_text(text)
    with pytest.raises(ConfigError) as refused:
        home.read_secret()
    assert refused.value.code == code
