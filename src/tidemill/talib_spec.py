"""What TA-Lib's functions are, in the words of `tidemill.indicator`.

They are computed over whole series from the first bar on: TA-Lib says of no function after how many bars it
has forgotten where it began. https://ta-lib.org/functions/
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

from tidemill.errors import ConfigError, UsageError, nearest
from tidemill.indicator import PRICES, TALIB, Output, Param, Spec

SOURCE = "TA-Lib, Mario Fortier and others, 1999"


def installed() -> bool:
    """Whether its functions can be had here."""
    return find_spec("talib") is not None


@cache
def registry() -> Mapping[str, Spec]:
    """All functions that bars are enough for, by `talib:NAME` with their defaults; none without TA-Lib."""
    if not installed():
        return {}
    talib: Any = import_module("talib")
    found = (_spec(name) for name in talib.get_functions())
    return {one.name: one for one in found if set(one.inputs) <= set(PRICES)}


def of(name: str, params: Mapping[str, float]) -> Spec:
    """One of them with these parameters, whose values TA-Lib itself checks once it computes.

    Raises `UsageError`: `indicator_unknown`, or `parameter_invalid` for a name or kind that it has not;
    `ConfigError` `extra_missing` without TA-Lib.
    """
    if not installed():
        raise ConfigError(
            "extra_missing", f"{name} needs the Python package ta-lib", hint="pip install 'tidemill[talib]'"
        )
    if (found := registry().get(name)) is None:
        close = nearest(name, registry())
        said = f"nearest: {', '.join(close)}" if close else "GET /api/v1/indicators/list names them"
        raise UsageError("indicator_unknown", f"no indicator is named {name!r}", hint=said)
    own = {one.name: one for one in found.params}
    for key, value in params.items():
        if key not in own:
            raise UsageError(
                "parameter_invalid", f"{name} has no parameter {key!r}",
                hint=f"it has: {', '.join(own) or 'none'}",
            )  # fmt: skip
        whole = own[key].kind == "int"
        if not abs(value) < 2**31 or (whole and value != int(value)):
            kind = "a whole number" if whole else "a number"
            raise UsageError("parameter_invalid", f"{key} of {name} is {kind}, not {str(value)[:40]}")
    return found


def _spec(name: str) -> Spec:
    abstract: Any = import_module("talib.abstract")
    function = abstract.Function(name)
    info = function.info
    flags = info["function_flags"] or []
    named = info["input_names"].values()
    used = {column for one in named for column in ([one] if isinstance(one, str) else one)}
    lookback = int(function.lookback)
    return Spec(
        name=TALIB + name,
        title=info["display_name"],
        description=f"TA-Lib's {name}, of its {info['group'].lower()}.",
        source=SOURCE,
        # In the order that bars have them; what bars have not comes last, and is left out above.
        inputs=tuple(sorted(used, key=lambda one: (PRICES.index(one) if one in PRICES else 9, one))),
        params=tuple(_param(key, value) for key, value in info["parameters"].items()),
        outputs=tuple(
            _output(output, list(drawn), flags, lookback) for output, drawn in info["output_flags"].items()
        ),
        memory="whole",
        warm_up=None,
    )


def _param(name: str, default: float) -> Param:
    # TA-Lib keeps its ranges to itself until a value is beyond them.
    kind: Literal["int", "float"] = "int" if isinstance(default, int) else "float"
    return Param(name, kind, default, -math.inf, math.inf)


def _output(name: str, drawn: list[str], flags: list[str], first: int) -> Output:
    over_prices = "Output scale same as input" in flags
    pane: Literal["price", "own"] = "price" if over_prices else "own"
    draw: Literal["line", "histogram", "marks"] = "line"
    if "Histogram" in drawn or "Output is a candlestick" in flags:
        draw = "histogram"
    elif over_prices and "Dotted Line" in drawn:
        draw = "marks"
    return Output(name, draw, pane, first, 0)
