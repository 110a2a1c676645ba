"""Secrets: where they come from, and that a missing one is named."""

from __future__ import annotations

import os

import keyring
import pytest
from keyring.backend import KeyringBackend

from tidemill import cli, providers
from tidemill.errors import AuthError
from tidemill.providers import credential


class Kept(KeyringBackend):
    priority = 1.0  # type: ignore[assignment]

    def get_password(self, service: str, username: str) -> str | None:
        return {("tidemill", "ALPACA_API_SECRET"): "kept"}.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None: ...

    def delete_password(self, service: str, username: str) -> None: ...


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "POLYGON_API_KEY",
        "MASSIVE_API_KEY",
        "ALPACA_API_KEY",
        "ALPACA_API_SECRET",
        "ALPACA_BASE_URL",
    ):
        monkeypatch.delenv(name, raising=False)


def test_the_first_variable_that_is_set_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    polygon = providers.load("polygon")
    with pytest.raises(AuthError, match="POLYGON_API_KEY or MASSIVE_API_KEY"):
        credential.of(polygon)
    monkeypatch.setenv("MASSIVE_API_KEY", "second")
    assert credential.of(polygon) == {"key": "second"}
    monkeypatch.setenv("POLYGON_API_KEY", " first\n")
    assert credential.of(polygon) == {"key": "first"}


def test_the_keyring_has_what_the_environment_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    alpaca = providers.load("alpaca")
    monkeypatch.setenv("ALPACA_API_KEY", "from here")
    before = keyring.get_keyring()
    keyring.set_keyring(Kept())
    try:
        assert credential.of(alpaca) == {"key": "from here", "secret": "kept"}
        monkeypatch.delenv("ALPACA_API_KEY")
        with pytest.raises(AuthError, match="ALPACA_API_KEY is not set") as caught:
            credential.of(alpaca)
        assert "kept" not in str(caught.value)
    finally:
        keyring.set_keyring(before)


def test_a_collector_finds_in_its_environment_what_the_keyring_has(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ALPACA_API_KEY", "ALPACA_API_SECRET"):
        monkeypatch.setenv(name, "")  # so that the test ends with what was before
    before = keyring.get_keyring()
    keyring.set_keyring(Kept())
    try:
        for words in (["kraken"], ["alpaca", "--name", "sim-alpaca"], ["alpaca", "--name=sim-alpaca"]):
            cli._give_keys(["collector", *words])
            assert os.environ["ALPACA_API_SECRET"] == ""
        cli._give_keys(["collector", "alpaca-sip", "--instruments", "AAPL"])
        assert (os.environ["ALPACA_API_KEY"], os.environ["ALPACA_API_SECRET"]) == ("", "kept")
    finally:
        keyring.set_keyring(before)


def test_those_that_need_none_have_none() -> None:
    assert credential.of(providers.load("kraken")) == {}
