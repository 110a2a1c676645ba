"""Settings of a run as JSON, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from tidemill.errors import UsageError
from tidemill.research.run import Costs, Settings


def json(settings: Settings) -> dict[str, Any]:
    """All of them, the costs as an object."""
    return asdict(settings)


def of_json(given: Mapping[str, Any]) -> Settings:
    """Settings of what was given, the others as they are without. Raises `UsageError` `settings_invalid` for
    a name that is none, and `costs_invalid` for a value that does not fit."""
    left = dict(given)
    costs = left.pop("costs", None)
    costs = {} if costs is None else costs
    _known(left, Settings)
    if not isinstance(costs, Mapping):
        raise UsageError("settings_invalid", "costs is no object", hint='{"taker": "0.001"}')
    _known(costs, Costs)
    if left.get("limit_fill", "touch") not in ("touch", "through"):
        raise UsageError("settings_invalid", "limit_fill is touch or through")
    if left.get("engine", "fast") not in ("fast", "nautilus"):
        raise UsageError("settings_invalid", "engine is fast or nautilus")
    ticks = costs.get("slippage_ticks", 0)
    if not isinstance(ticks, int) or isinstance(ticks, bool):
        raise UsageError("costs_invalid", f"slippage_ticks is {ticks!r:.40}, no whole number")
    if not isinstance(left.get("as_recorded", False), bool):
        raise UsageError("settings_invalid", "as_recorded is true or false")
    return Settings(**left, costs=Costs(**costs))


def _known(given: Mapping[str, Any], kind: type) -> None:
    names = [field.name for field in fields(kind)]
    for name in given:
        if name not in names:
            raise UsageError(
                "settings_invalid", f"no setting is named {str(name)[:60]!r}", hint=", ".join(names)
            )
