"""Signals: a number for each bar, written as formulas that can only look back.

    def signal(self, bars):
        fast, slow = bars.sma(self.fast), bars.sma(self.slow)
        return when(fast > slow, 1.0, 0.0)

A formula is evaluated over whole series (`values`) or bar after bar (`Live`), to the same bits. Since nothing
in it can name a later bar, a signal cannot look ahead, whoever writes it. A value that is not known is NaN;
comparisons with NaN are NaN, and NaN as a target means "leave it as it is".

Signals of several instruments meet on steps: a step is a time at which at least one bar became known. An
instrument without a bar in a step keeps its last value there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidemill import indicator
from tidemill.errors import UsageError, nearest
from tidemill.strategies.operation import NAN

Floats = npt.NDArray[np.float64]
COLUMNS: Final = ("open", "high", "low", "close", "volume")


class Signal:
    """A number for each step. Arithmetic, comparisons (1, 0 or NaN), `&`, `|` and `~` make new ones."""

    def __init__(self, *inputs: Signal) -> None:
        self.inputs = inputs

    __hash__ = object.__hash__

    def __add__(self, other: Signal | float) -> Signal:
        return _apply("+", self, other)

    def __radd__(self, other: float) -> Signal:
        return _apply("+", other, self)

    def __sub__(self, other: Signal | float) -> Signal:
        return _apply("-", self, other)

    def __rsub__(self, other: float) -> Signal:
        return _apply("-", other, self)

    def __mul__(self, other: Signal | float) -> Signal:
        return _apply("*", self, other)

    def __rmul__(self, other: float) -> Signal:
        return _apply("*", other, self)

    def __truediv__(self, other: Signal | float) -> Signal:
        return _apply("/", self, other)

    def __rtruediv__(self, other: float) -> Signal:
        return _apply("/", other, self)

    def __neg__(self) -> Signal:
        return _apply("negative", self)

    def __gt__(self, other: Signal | float) -> Signal:
        return _apply(">", self, other)

    def __ge__(self, other: Signal | float) -> Signal:
        return _apply(">=", self, other)

    def __lt__(self, other: Signal | float) -> Signal:
        return _apply("<", self, other)

    def __le__(self, other: Signal | float) -> Signal:
        return _apply("<=", self, other)

    def __eq__(self, other: Signal | float) -> Signal:  # type: ignore[override]
        return _apply("==", self, other)

    def __ne__(self, other: Signal | float) -> Signal:  # type: ignore[override]
        return _apply("!=", self, other)

    def __and__(self, other: Signal) -> Signal:
        return _apply("&", self, other)

    def __or__(self, other: Signal) -> Signal:
        return _apply("|", self, other)

    def __invert__(self) -> Signal:
        return _apply("not", self)

    def __bool__(self) -> bool:
        raise UsageError(
            "signal_invalid",
            "a signal is a formula, it has no value yet",
            hint="write when(a > b, x, y), and & | ~ instead of `if`, `and`, `or`, `not`",
        )

    def abs(self) -> Signal:
        """Its size without its sign."""
        return _apply("abs", self)

    def log(self) -> Signal:
        """Its natural logarithm; NaN below 0."""
        return _apply("log", self)

    def exp(self) -> Signal:
        """e to the power of it."""
        return _apply("exp", self)

    def sqrt(self) -> Signal:
        """Its square root; NaN below 0."""
        return _apply("sqrt", self)

    def sign(self) -> Signal:
        """-1, 0 or 1."""
        return _apply("sign", self)

    def known(self) -> Signal:
        """1 where there is a value, 0 where there is none yet."""
        return _apply("known", self)

    def clip(self, low: float, high: float) -> Signal:
        """Not below `low`, not above `high`."""
        return _apply("least", _apply("most", self, low), high)

    def shift(self, steps: int = 1) -> Signal:
        """The value `steps` before: 1 to 100,000. There is no other direction."""
        return Shift(self, steps)

    def change(self, steps: int = 1) -> Signal:
        """By how much it differs from `steps` before."""
        return self - self.shift(steps)

    def hold(self) -> Signal:
        """The last value that was known."""
        return Hold(self)

    def crosses_above(self, other: Signal | float) -> Signal:
        """1 in the step in which it is above `other` and was not before."""
        above = self > other
        return above & ~above.shift(1)

    def crosses_below(self, other: Signal | float) -> Signal:
        """1 in the step in which it is below `other` and was not before."""
        below = self < other
        return below & ~below.shift(1)

    def indicator(self, name: str, **params: float) -> Lines:
        """An indicator of this signal instead of a close: `(a / b).indicator("sma", period=50).sma`.

        Raises `UsageError` `signal_invalid` for one that needs more than a close."""
        spec = indicator.spec(name, **params)
        if spec.inputs != ("close",):
            raise UsageError(
                "signal_invalid", f"{name} is made of {', '.join(spec.inputs)}; a signal has one number a bar"
            )
        return Lines(name, [Of(self, name, params, output.name) for output in spec.outputs])

    def sma(self, period: int) -> Signal:
        """The mean of its last `period` values."""
        return self.indicator("sma", period=period).one

    def ema(self, period: int) -> Signal:
        """Its exponential average over about `period` values."""
        return self.indicator("ema", period=period).one

    def standard_deviation(self, period: int) -> Signal:
        """The population standard deviation of its last `period` values."""
        return self.indicator("standard_deviation", period=period).one


class Const(Signal):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value


class Column(Signal):
    """A column of an instrument's bars."""

    def __init__(self, instrument: str, name: str) -> None:
        super().__init__()
        self.instrument, self.name = instrument, name


class Line(Signal):
    """An output of an indicator of an instrument's bars."""

    def __init__(self, instrument: str, name: str, params: Mapping[str, float], output: str) -> None:
        super().__init__()
        self.instrument, self.name, self.params, self.output = instrument, name, dict(params), output
        self.key = (instrument, name, tuple(sorted(params.items())))


class Of(Signal):
    """An output of an indicator of another signal."""

    def __init__(self, source: Signal, name: str, params: Mapping[str, float], output: str) -> None:
        super().__init__(source)
        self.name, self.params, self.output = name, dict(params), output


class Apply(Signal):
    def __init__(self, operation: str, *inputs: Signal) -> None:
        super().__init__(*inputs)
        self.operation = operation


class Shift(Signal):
    def __init__(self, source: Signal, steps: int) -> None:
        super().__init__(source)
        if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= 100_000:
            raise UsageError(
                "signal_invalid",
                f"a shift by {steps!r} is not one of 1 to 100,000 steps",
                hint="a signal knows the past alone",
            )
        self.steps = steps


class Hold(Signal):
    pass


class Switch(Signal):
    """1 from where the first signal is true until the second one is."""


class Lines:
    """The outputs of an indicator: `bars.macd().signal`, `bars.bollinger(period=20)["upper"]`; `one` where
    there is only one."""

    def __init__(self, name: str, lines: Sequence[Line | Of]) -> None:
        self._name = name
        self._lines: dict[str, Signal] = {line.output: line for line in lines}

    @property
    def one(self) -> Signal:
        """The output, where there is only one."""
        if len(self._lines) != 1:
            raise UsageError(
                "signal_invalid",
                f"{self._name} has {len(self._lines)} outputs",
                hint="name one of " + ", ".join(self._lines),
            )
        return next(iter(self._lines.values()))

    def __getitem__(self, output: str) -> Signal:
        if output not in self._lines:
            raise UsageError(
                "signal_invalid",
                f"{self._name} has no output {output!r}",
                hint="it has " + ", ".join(self._lines),
            )
        return self._lines[output]

    def __getattr__(self, output: str) -> Signal:
        if output.startswith("_"):
            raise AttributeError(output)
        return self[output]

    def __iter__(self) -> Any:
        return iter(self._lines.values())


class Bars:
    """An instrument's bars as signals: `open`, `high`, `low`, `close`, `volume`, and every indicator of
    `tidemill.indicator` by its name: `bars.rsi(14)`, `bars.macd(fast=12, slow=26, signal=9).histogram`.

    An indicator with one output is that output. Parameters are given by name, or in the registry's order."""

    def __init__(self, instrument: str) -> None:
        self.instrument = instrument
        self.open = Column(instrument, "open")
        self.high = Column(instrument, "high")
        self.low = Column(instrument, "low")
        self.close = Column(instrument, "close")
        self.volume = Column(instrument, "volume")

    def indicator(self, name: str, *values: float, **params: float) -> Lines:
        """All outputs of an indicator. Raises `UsageError` as `tidemill.indicator.compute` does."""
        if values:
            known = [param.name for param in indicator.spec(name).params]
            if len(values) > len(known):
                raise UsageError(
                    "parameter_invalid", f"{name} has {len(known)} parameters, {len(values)} were given",
                    hint=", ".join(known),
                )  # fmt: skip
            params = dict(zip(known, values, strict=False)) | params
        spec = indicator.spec(name, **params)
        return Lines(name, [Line(self.instrument, name, params, output.name) for output in spec.outputs])

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in indicator.registry():
            close = nearest(name, [*COLUMNS, *indicator.registry()])
            raise UsageError(
                "indicator_unknown", f"bars have no column or indicator {name!r}", hint=", ".join(close)
            )

        def made(*values: float, **params: float) -> Signal | Lines:
            lines = self.indicator(name, *values, **params)
            outputs = list(lines)
            return outputs[0] if len(outputs) == 1 else lines

        return made


def when(test: Signal, then: Signal | float, other: Signal | float = NAN) -> Signal:
    """`then` where `test` is true, `other` where it is false, NaN where it is not known."""
    return _apply("when", test, then, other)


def switch(on: Signal, off: Signal) -> Signal:
    """1 from where `on` is true until `off` is, 0 before and after; where both are, `off` counts. NaN counts
    as false."""
    return Switch(_signal(on), _signal(off))


def least(a: Signal | float, b: Signal | float) -> Signal:
    """The smaller of the two at each step."""
    return _apply("least", a, b)


def most(a: Signal | float, b: Signal | float) -> Signal:
    """The larger of the two at each step."""
    return _apply("most", a, b)


def _signal(value: Signal | float) -> Signal:
    if isinstance(value, Signal):
        return value
    if isinstance(value, (int, float)):
        return Const(float(value))
    raise UsageError(
        "signal_invalid",
        f"{type(value).__name__} is neither a signal nor a number",
        hint="name an output of an indicator that has several: bars.macd().signal",
    )


def _apply(operation: str, *inputs: Signal | float) -> Signal:
    return Apply(operation, *map(_signal, inputs))


def ordered(signals: Iterable[Signal]) -> list[Signal]:
    """All signals that these are made of, each once and after its inputs."""
    found: dict[int, Signal] = {}
    waiting: list[tuple[Signal, bool]] = [(one, False) for one in reversed(list(signals))]
    while waiting:
        one, done = waiting.pop()
        if id(one) in found:
            continue
        if done:
            found[id(one)] = one
        else:
            waiting.append((one, True))
            waiting.extend((each, False) for each in reversed(one.inputs))
    return list(found.values())


def warm_up(signals: Iterable[Signal]) -> int | None:
    """After how many bars of each instrument the signals no longer depend on where they began (by more than
    1e-12 of their size, where an indicator fades); None: they always do.

    Bars with NaN do not count. None as well for an indicator of a signal that is NaN at will, such as
    `when(test, x).sma(20)`: its last 20 values may reach back to any time."""
    lasting: dict[int, int | None] = {}
    patchy: set[int] = set()
    made_of = ordered(signals)
    for one in made_of:
        before = [lasting[id(each)] for each in one.inputs]
        known = [each for each in before if each is not None]
        own: int | None = max(known, default=0) if len(known) == len(before) else None
        holes = any(id(each) in patchy for each in one.inputs)
        match one:
            case Column():
                own = 1
            case Const():
                holes = bool(np.isnan(one.value))
            case Line() | Of():
                needs = None if holes else indicator.spec(one.name, **one.params).warm_up
                own = None if own is None or needs is None else own + needs
            case Shift():
                own = None if own is None else own + one.steps
            case Hold() | Switch():
                own = None
            case Apply(operation="known"):
                holes = False
        lasting[id(one)] = own
        patchy |= {id(one)} if holes else set()
    needed = [lasting[id(one)] for one in made_of]
    return None if None in needed else max((each for each in needed if each is not None), default=0)
