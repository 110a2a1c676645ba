"""What a strategy says of itself, read from its text: nothing of it is run.

So the service can show code of anybody. What a parameter is, is known where it is written with plain values,
`fast = Param(20, low=2, high=200)`, as nearly all are.
"""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

from tidemill.errors import UsageError
from tidemill.strategies.api import Strategy
from tidemill.strategies.param import Param

Kind = Literal["signal", "event"]
CODE_BYTES_MAX: Final = 256 * 1024
_TEXT_MAX: Final = 4_000
_KEPT: Final = 128
"""Texts whose description is kept: a list of strategies reads each of them."""
_INT_MAX: Final = 2**53
"""What JSON carries exactly."""
_PARAM_WORDS: Final = ("default", "low", "high", "step", "choices", "help")
_BY_SIGNAL: Final = ("signal", "signals")


@dataclass(frozen=True)
class Fault:
    """What is wrong with it, and where. Lines and columns count from 1."""

    message: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return self.message if self.line is None else f"line {self.line}: {self.message}"


@dataclass(frozen=True)
class Description:
    """What a text says. Empty where it says nothing."""

    class_name: str = ""
    title: str = ""
    text: str = ""
    """The class's docstring."""
    author: str = ""
    kind: Kind | None = None
    """By signal, which runs over whole series at once, or event after event."""
    params: tuple[dict[str, Any], ...] = ()
    """As `Param.json`, in the order in which they are written."""
    faults: tuple[Fault, ...] = ()

    def values(self, given: Mapping[str, object]) -> dict[str, Any]:
        """All parameters with their values: those given, checked, and the defaults of the others. Raises
        `UsageError` as a strategy does."""
        from tidemill.strategies.param import values

        return values(self.stand_in(), given)

    def stand_in(self) -> type:
        """A class of its name that has its parameters and nothing else."""
        return type(self.class_name or "Strategy", (), {one["name"]: _param(one) for one in self.params})


@lru_cache(_KEPT)
def read(source: str) -> Description:
    """The description of a module's strategy; all that is wrong is in its faults."""
    if len(source.encode("utf-8", "replace")) > CODE_BYTES_MAX:
        return Description(faults=(Fault(f"it is longer than {CODE_BYTES_MAX // 1024} KiB"),))
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        return Description(faults=(Fault(_clean(error.msg), error.lineno, error.offset),))
    except (ValueError, RecursionError, MemoryError) as error:
        said = "it has a NUL" if isinstance(error, ValueError) else "it is nested too deeply"
        return Description(faults=(Fault(said),))
    return _Reader(tree).description()


class _Reader:
    def __init__(self, tree: ast.Module) -> None:
        self._classes = {one.name: one for one in tree.body if isinstance(one, ast.ClassDef)}
        self._named = _plugin(tree)
        self._faults: list[Fault] = []

    def description(self) -> Description:
        found = self._chosen()
        if found is None:
            return Description(faults=tuple(self._faults))
        chain = self._chain(found)
        params: dict[str, dict[str, Any]] = {}
        texts: dict[str, str] = {}
        methods: set[str] = set()
        for one in reversed(chain):
            methods |= {each.name for each in one.body if isinstance(each, ast.FunctionDef)}
            for name, value in _assigned(one):
                if isinstance(value, ast.Call) and _name(value.func) == "Param":
                    self._declare(params, name, value)
                elif name in ("title", "author") and isinstance(value, ast.Constant):
                    texts[name] = _clean(str(value.value))[:200]
        by_signal = bool(methods & set(_BY_SIGNAL))
        if not by_signal and "on_bar" not in methods:
            self._faults.append(_at(found, f"{found.name} has neither signal() nor on_bar()"))
        elif by_signal and methods & {"on_bar", "on_fill"}:
            self._faults.append(_at(found, f"{found.name} has both a signal and on_bar or on_fill"))
        return Description(
            class_name=found.name,
            title=texts.get("title", ""),
            text=inspect.cleandoc(_clean(ast.get_docstring(found) or ""))[:_TEXT_MAX],
            author=texts.get("author", ""),
            kind="signal" if by_signal else "event" if "on_bar" in methods else None,
            params=tuple(params.values()),
            faults=tuple(self._faults),
        )

    def _chosen(self) -> ast.ClassDef | None:
        if self._named is not None and self._named in self._classes:
            return self._classes[self._named]
        found = [one for one in self._classes.values() if self._is_strategy(one)]
        if not found:
            self._faults.append(Fault("it has no class that is a Strategy: `class Mine(Strategy):`"))
        elif len(found) > 1:
            names = ", ".join(one.name for one in found)[:200]
            self._faults.append(
                Fault(f"which of {names} is meant? End with `plugin: type[Strategy] = {found[-1].name}`")
            )
        return found[-1] if found else None

    def _is_strategy(self, one: ast.ClassDef) -> bool:
        return any("Strategy" in _bases(each) for each in self._chain(one))

    def _chain(self, one: ast.ClassDef) -> list[ast.ClassDef]:
        """It and its bases in this file."""
        chain = [one]
        for each in chain:
            chain += [self._classes[name] for name in _bases(each) if name in self._classes
                      and self._classes[name] not in chain]  # fmt: skip
        return chain

    def _declare(self, params: dict[str, dict[str, Any]], name: str, call: ast.Call) -> None:
        if hasattr(Strategy, name) or name.startswith("_"):
            self._faults.append(_at(call, f"{name} cannot be a parameter: every strategy has it already"))
            return
        try:
            words = dict(zip(_PARAM_WORDS, map(_literal, call.args), strict=False))
            words |= {str(word.arg): _literal(word.value) for word in call.keywords}
            made = Param(words.pop("default"), **words)
        except KeyError:
            self._faults.append(_at(call, f"{name} has no default"))
            return
        except (TypeError, ValueError) as error:
            self._faults.append(_at(call, f"parameter {name}: {error}"[:300]))
            return
        made.name = name
        params[name] = made.json()


def _param(told: Mapping[str, Any]) -> Param[Any]:
    return Param(**{word: told[word] for word in _PARAM_WORDS})


def _literal(node: ast.expr) -> Any:
    """A plain value. Raises `ValueError` for what must be run to be known, and for numbers beyond JSON's."""
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise ValueError("it is not written as a plain value, so it is known only once it runs") from None
    for one in value if isinstance(value, (tuple, list, set)) else [value]:
        if isinstance(one, int) and abs(one) > _INT_MAX:
            raise ValueError("it is beyond 2^53")
        if isinstance(one, float) and not math.isfinite(one):
            raise ValueError("it is not finite")
    if isinstance(value, str):
        return _clean(value)[:300]
    if isinstance(value, (tuple, list, set)):
        return tuple(_clean(one)[:300] if isinstance(one, str) else one for one in list(value)[:100])
    return value


def _plugin(tree: ast.Module) -> str | None:
    """The class that the module names as its strategy."""
    named: str | None = None
    for one in tree.body:
        for name, value in _targets(one):
            if name == "plugin" and isinstance(value, ast.Name):
                named = value.id
    return named


def _assigned(owner: ast.ClassDef) -> list[tuple[str, ast.expr]]:
    return [pair for one in owner.body for pair in _targets(one)]


def _targets(one: ast.stmt) -> list[tuple[str, ast.expr]]:
    if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and one.value is not None:
        return [(one.target.id, one.value)]
    if isinstance(one, ast.Assign):
        return [(target.id, one.value) for target in one.targets if isinstance(target, ast.Name)]
    return []


def _bases(one: ast.ClassDef) -> list[str]:
    return [found for found in map(_name, one.bases) if found]


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _at(node: ast.expr | ast.ClassDef, message: str) -> Fault:
    return Fault(message, node.lineno, node.col_offset + 1)


def _clean(text: str) -> str:
    """As databases and JSON take it."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def ranges(about: Description) -> list[str]:
    """What each parameter may be, in words."""
    return [_param(one).range for one in about.params]


def refusal(found: Description, name: str) -> UsageError | None:
    """The error to tell of its first fault; None where it has none."""
    if not found.faults:
        return None
    first = found.faults[0]
    place = (
        ""
        if first.line is None
        else f"line {first.line}" + ("" if first.column is None else f", column {first.column}") + ": "
    )
    return UsageError(
        "strategy_invalid",
        f"{name}: {place}{first.message}"[:500],
        hint="docs/strategies.md shows how to write one",
    )
