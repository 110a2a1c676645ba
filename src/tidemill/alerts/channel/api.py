"""What every channel is made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from tidemill.metadata.alert import Firing

TIMEOUT_S = 10.0


class Refused(Exception):
    """It did not arrive; `again` where another try may."""

    def __init__(self, why: str, *, again: bool) -> None:
        super().__init__(why)
        self.again = again


class Way(BaseModel, ABC):
    """Where one rule's firings go. Frozen; a field that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @abstractmethod
    def check(self) -> None:
        """Raises `UsageError` or `ConfigError` for what can never arrive."""

    @abstractmethod
    def send(self, firing: Firing) -> None:
        """Blocks until it has arrived. Raises `Refused`."""


def body(firing: Firing) -> dict[str, object]:
    """What a program is told."""
    from tidemill.model.time import iso

    return {
        "id": str(firing.id), "alert": firing.alert, "name": firing.name, "kind": firing.kind,
        "subject": firing.subject, "ts": iso(firing.ts), "noticed": iso(firing.noticed),
        "value": firing.value, "message": firing.message, "test": firing.test,
    }  # fmt: skip
