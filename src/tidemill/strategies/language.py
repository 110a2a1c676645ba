"""What a strategy can be written with, as an editor offers it: read from the package itself, so that it is
what the package has."""

from __future__ import annotations

import builtins
import inspect
import keyword
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, Literal

from tidemill import indicator, strategy
from tidemill.strategies.api import Broker, Strategy
from tidemill.strategies.signal import COLUMNS, Bars, Lines, Signal

Kind = Literal["class", "function", "method", "property", "column", "indicator", "hook"]
HOOKS: Final = ("signal", "signals", "start", "on_bar", "on_fill", "stop")
"""What a strategy overrides."""


@dataclass(frozen=True)
class Word:
    """A name that can be written, and what it says of itself."""

    name: str
    kind: Kind
    signature: str
    """As it is called, or its type."""
    text: str
    """What it does."""
    params: tuple[str, ...] = ()
    """Names of what it takes, in order, without self."""
    gives: str = ""
    """The class of its value, where `members` tells of that one: `Signal`, `Lines`."""
    outputs: tuple[str, ...] = ()
    """Of an indicator."""


@dataclass(frozen=True)
class Language:
    """Everything that an editor can offer."""

    names: tuple[Word, ...]
    """What `from tidemill.strategy import …` has."""
    members: dict[str, tuple[Word, ...]]
    """What stands behind a dot, by the class of what is before it."""
    keywords: tuple[str, ...] = field(default_factory=lambda: tuple(keyword.kwlist))
    builtins: tuple[str, ...] = field(
        default_factory=lambda: tuple(name for name in dir(builtins) if not name.startswith("_"))
    )


@cache
def language() -> Language:
    """The words of this version."""
    classes: dict[str, type[Any]] = {
        "Strategy": Strategy,
        "Bars": Bars,
        "Signal": Signal,
        "Lines": Lines,
        "Broker": Broker,
        "Watch": strategy.Watch,
        "Bar": strategy.Bar,
        "Fill": strategy.Fill,
        "Order": strategy.Order,
    }
    members = {name: _members(owner) for name, owner in classes.items()}
    members["Bars"] = (*_columns(), *_indicators(), *members["Bars"])
    return Language(names=tuple(_named(name) for name in strategy.__all__), members=members)


def _named(name: str) -> Word:
    found = getattr(strategy, name)
    if inspect.isclass(found):
        made = found.__init__ if found.__init__ is not object.__init__ else None
        takes = _signature(made) if made is not None else "()"
        return Word(name, "class", f"{name}{takes}", _text(found), _params(made), gives=name)
    if inspect.isfunction(found):
        return Word(name, "function", f"{name}{_signature(found)}", _text(found), _params(found), "Signal")
    return Word(name, "class", "Mapping[str, Bars]", "The instruments that it runs on, by name, in order.")


def _members(owner: type[Any]) -> tuple[Word, ...]:
    words = []
    for name in sorted(dir(owner)):
        if name.startswith("_"):
            continue
        found = inspect.getattr_static(owner, name)
        if isinstance(found, property):
            gives = _returned(found.fget)
            words.append(Word(name, "property", gives or name, _text(found), gives=_class(gives)))
        elif isinstance(found, (classmethod, staticmethod)):
            words.append(_method(owner, name, found.__func__))
        elif inspect.isfunction(found):
            words.append(_method(owner, name, found))
    told = {word.name for word in words}
    for each in reversed(owner.__mro__):
        for name, kind in inspect.get_annotations(each).items():
            if not name.startswith("_") and name not in told:
                told.add(name)
                words.append(Word(name, "property", str(kind), "", gives=_class(str(kind))))
    for name, kind in {"Watch": {"signal": "Signal", "value": "float"}}.get(owner.__name__, {}).items():
        if name not in told:
            words.append(Word(name, "property", kind, _text(owner), gives=_class(kind)))
    return tuple(sorted(words, key=lambda one: one.name))


def _method(owner: type[Any], name: str, found: Any) -> Word:
    kind: Kind = "hook" if owner is Strategy and name in HOOKS else "method"
    gives = _class(_returned(found))
    return Word(name, kind, f"{name}{_signature(found)}", _text(found), _params(found), gives)


def _columns() -> tuple[Word, ...]:
    return tuple(
        Word(name, "column", "Signal", f"The {name} of each bar.", gives="Signal") for name in COLUMNS
    )


def _indicators() -> tuple[Word, ...]:
    words = []
    for one in indicator.registry().values():
        takes = ", ".join(f"{each.name}={_plain(each.default)}" for each in one.params)
        ranges = "; ".join(f"{each.name} {_plain(each.low)} to {_plain(each.high)}" for each in one.params)
        outputs = tuple(each.name for each in one.outputs)
        several = len(outputs) > 1
        text = one.description
        text += f"\n\nParameters: {ranges}." if ranges else ""
        text += f"\n\nOutputs: {', '.join(outputs)}." if several else ""
        text += "" if one.warm_up is None else f"\n\nIt can be relied on after {one.warm_up} bars."
        words.append(
            Word(
                one.name,
                "indicator",
                f"{one.name}({takes})",
                f"{one.title}. {text}",
                tuple(each.name for each in one.params),
                "Lines" if several else "Signal",
                outputs,
            )
        )
    return tuple(words)


def _signature(found: Any) -> str:
    """As it is written, without self."""
    parts, starred = [], False
    for each in _parameters(found):
        if each.kind is each.KEYWORD_ONLY and not starred:
            starred = True
            parts.append("*")
        stars = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}.get(each.kind.name, "")
        starred = starred or stars == "*"
        kind = "" if each.annotation is each.empty else f": {each.annotation}"
        default = "" if each.default is each.empty else f" = {each.default!r}"
        parts.append(f"{stars}{each.name}{kind}{default}")
    gives = _returned(found)
    return f"({', '.join(parts)})" + (f" -> {gives}" if gives not in ("", "None") else "")


def _parameters(found: Any) -> list[inspect.Parameter]:
    return [each for each in inspect.signature(found).parameters.values() if each.name not in ("self", "cls")]


def _params(found: Any) -> tuple[str, ...]:
    if found is None:
        return ()
    named = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return tuple(each.name for each in _parameters(found) if each.kind not in named)


def _returned(found: Any) -> str:
    return str(inspect.get_annotations(found).get("return", ""))


def _class(annotation: str) -> str:
    """The class that `members` has, of an annotation's text."""
    return annotation if annotation in ("Signal", "Lines", "Broker", "Watch", "Bars") else ""


def _text(found: Any) -> str:
    own = found.__doc__ if not inspect.isclass(found) else found.__dict__.get("__doc__")
    # A dataclass without words has its signature there.
    if not own or (inspect.isclass(found) and own.startswith(f"{found.__name__}(")):
        return ""
    return inspect.cleandoc(own)


def _plain(value: float) -> str:
    return f"{value:g}" if abs(value) < 1e6 else f"{value:.0f}"
