"""Addresses from the environment, and what is told of them."""

from __future__ import annotations

import pytest

from tidemill.address import named, shown
from tidemill.errors import ConfigError


def test_the_command_line_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIDEMILL_STORE_URL", raising=False)
    assert named("TIDEMILL_STORE_URL") is None
    monkeypatch.setenv("TIDEMILL_STORE_URL", "postgresql://host/one")
    assert named("TIDEMILL_STORE_URL") == "postgresql://host/one"
    assert named("TIDEMILL_STORE_URL", "lake") == "lake"


def test_another_scheme_is_refused_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMILL_DATABASE_URL", "mysql://user:hunter2@host/db?password=hunter2")
    with pytest.raises(ConfigError) as refused:
        named("TIDEMILL_DATABASE_URL")
    assert "mysql://host/db" in refused.value.message
    assert "hunter2" not in str(refused.value.as_dict())


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("redis://:secret@127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("postgresql://me:secret@/db?host=/run/pg", "postgresql:///db"),
        ("redis://:sec ret@host:port/0", "redis:…"),
        ("lake", "lake"),
        ("postgresql://me:12/cret@host/db", "postgresql:…"),
        ("postgresql://me@12/cret@host/db", "postgresql:…"),
        ("redis://:#cret@host:6379/0", "redis:…"),
        ("me:secret@host/db", "me:…"),
        ("host=db user=me password=secret", "…"),
    ],
)
def test_what_is_shown_holds_no_secret(url: str, seen: str) -> None:
    assert shown(url) == seen
