"""A provider's secrets: from the environment, or from the system's keyring where that extra is installed.

A keyring holds them under the service `tidemill` and the name of the environment variable:
`keyring set tidemill POLYGON_API_KEY`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tidemill.errors import AuthError

if TYPE_CHECKING:
    from tidemill.providers.api import Credential, Provider

SERVICE = "tidemill"


def of(provider: type[Provider]) -> Mapping[str, str]:
    """Secrets by the names that the provider gives them; optional ones that are not set are left out.

    Raises `AuthError` naming the variables of those that are missing.
    """
    have = found(provider)
    missing = [c for c in provider.credentials if c.required and c.name not in have]
    if missing:
        names = ", ".join(" or ".join(credential.variables) for credential in missing)
        verb = "is" if len(missing) == 1 else "are"
        raise AuthError(
            "credential_missing",
            f"{provider.__module__.rpartition('.')[2]} needs a key, and {names} {verb} not set",
            hint="set it in the environment, or `keyring set tidemill NAME`; docs/providers.md",
        )
    return have


def found(provider: type[Provider]) -> Mapping[str, str]:
    """What of it there is, without a complaint."""
    return {each.name: value for each in provider.credentials if (value := _value(each))}


def give(provider: type[Provider]) -> None:
    """Puts what only the keyring has into the environment of this process."""
    for each in provider.credentials:
        if not any(os.environ.get(variable, "").strip() for variable in each.variables):
            for variable in each.variables:
                if kept := _kept(variable):
                    os.environ[variable] = kept
                    break


def _value(credential: Credential) -> str | None:
    for variable in credential.variables:
        if value := os.environ.get(variable, "").strip():
            return value
    for variable in credential.variables:
        if kept := _kept(variable):
            return kept
    return None


def _kept(variable: str) -> str | None:
    """What the keyring has; nothing where there is no keyring, or it is locked."""
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return None
    try:
        return keyring.get_password(SERVICE, variable)
    except (KeyringError, RuntimeError, OSError):
        return None
