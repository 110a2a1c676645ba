"""What an editor marks in a strategy's text, found by reading it: nothing of it is run.

Faults that keep it from being a strategy, names that nobody defines, and what the package does not have:
members of a strategy, indicators, their parameters and outputs.
"""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from typing import Any, Final, Literal

from tidemill import indicator, strategy
from tidemill.errors import nearest
from tidemill.strategies import description, scope
from tidemill.strategies.api import Strategy
from tidemill.strategies.signal import COLUMNS, Bars, Signal

Severity = Literal["error", "warning", "hint"]
PROBLEMS_MAX: Final = 200
CLOSE_BYTES_MAX: Final = 64 * 1024
"""Longer texts are looked at for syntax and for what keeps them from being a strategy, and no closer: names
take a second for so much."""
_SIGNAL: Final = {name for name in dir(Signal) if not name.startswith("_")}
_BARS: Final = {name for name in dir(Bars) if not name.startswith("_")} | {"instrument", *COLUMNS}


@dataclass(frozen=True)
class Problem:
    """A mark in a text. Lines and columns count from 1; the end's column is the first that is not marked."""

    severity: Severity
    code: str
    message: str
    line: int = 1
    column: int = 1
    end_line: int = 1
    end_column: int = 1


def diagnose(source: str) -> list[Problem]:
    """Its problems in the order of its lines, the first 200 of them."""
    about = description.read(source)
    found = [_fault(one, source) for one in about.faults]
    if about.class_name or not (about.faults and about.faults[0].line is not None):
        found += _read(source)
    found.sort(key=lambda one: (one.line, one.column, one.code))
    return found[:PROBLEMS_MAX]


def deciding_line(source: str) -> int | None:
    """The line at which the strategy's deciding function begins: where to show what a check found."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    name = description.read(source).class_name
    for one in tree.body:
        if isinstance(one, ast.ClassDef) and one.name == name:
            for each in one.body:
                if isinstance(each, ast.FunctionDef) and each.name in ("signal", "signals", "on_bar"):
                    return each.lineno
            return one.lineno
    return None


def _fault(one: description.Fault, source: str) -> Problem:
    """A fault, marked to the end of its line."""
    lines = source.splitlines() or [""]
    line = min(max(one.line or 1, 1), len(lines))
    text = lines[line - 1]
    column = min(max(one.column or 1, 1), len(text) + 1)
    code = "syntax" if one.line is not None and not _parses(source) else "strategy_invalid"
    said = (
        one.message[:1].upper() + one.message[1:]
        if one.message.split(" ", 1)[0] != "parameter"
        else one.message
    )
    return Problem("error", code, said[:400], line, column, line, max(len(text), column) + 1)


def _parses(source: str) -> bool:
    try:
        ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _read(source: str) -> list[Problem]:
    if len(source) > CLOSE_BYTES_MAX:
        said = f"Longer than {CLOSE_BYTES_MAX // 1024} KiB: names are not looked at."
        return [Problem("hint", "text_long", said, end_column=2)]
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []  # said as a fault already
    lines = [line.encode() for line in source.splitlines()]
    nodes = list(ast.walk(tree))
    return [
        *islice(_names(tree, nodes, lines), PROBLEMS_MAX), *islice(_imports(nodes, lines), PROBLEMS_MAX),
        *islice(_members(tree, lines), PROBLEMS_MAX), *islice(_formulas(tree, lines), PROBLEMS_MAX),
    ]  # fmt: skip


def _names(tree: ast.Module, nodes: list[ast.AST], lines: list[bytes]) -> Iterator[Problem]:
    known = {*strategy.__all__, *dir(builtins)}
    for node in scope.undefined(tree, nodes):
        close = nearest(node.id, known)
        if node.id in strategy.__all__:
            hint = f"import it: from tidemill.strategy import {node.id}"
        else:
            hint = f"did you mean {close[0]}?" if close else "define it first"
        yield _at(lines, node, "error", "name_unknown", f"Nothing is named {node.id}: {hint}")
    for alias, name in scope.unused(tree, nodes):
        yield _at(lines, alias, "hint", "import_unused", f"Imported and not used: {name}.")


def _imports(nodes: list[ast.AST], lines: list[bytes]) -> Iterator[Problem]:
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module == "tidemill.strategy":
            for alias in node.names:
                if alias.name not in (*strategy.__all__, "*"):
                    close = nearest(alias.name, strategy.__all__)
                    hint = (
                        f": did you mean {close[0]}?" if close else f", it has {', '.join(strategy.__all__)}"
                    )
                    said = f"Nothing in tidemill.strategy is named {alias.name}{hint}"
                    yield _at(lines, alias, "error", "import_unknown", said)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names if isinstance(node, ast.Import) else node.names[:1]:
                named = alias.name if isinstance(node, ast.Import) else node.module or ""
                if named and not _there(named.partition(".")[0]):
                    said = f"There is no module {named.partition('.')[0]} here."
                    yield _at(lines, alias, "error", "import_unknown", said)


def _there(top: str) -> bool:
    """Whether a module of that name can be imported; only looked for, as it has no dot."""
    if top in sys.stdlib_module_names:
        return True
    try:
        return find_spec(top) is not None
    except (ImportError, ValueError):
        return False


def _members(tree: ast.Module, lines: list[bytes]) -> Iterator[Problem]:
    classes = {one.name: one for one in tree.body if isinstance(one, ast.ClassDef)}
    for owner in classes.values():
        chain = _chain(owner, classes)
        if chain is None:
            continue  # it is no strategy, or has bases that are not in this text
        known = {name for name in dir(Strategy) if not name.startswith("__")}
        for one in chain:
            known |= _defined(one)
        for method in owner.body:
            if isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef)) and method.args.args:
                yield from _of_self(method, method.args.args[0].arg, known, lines)
                yield from _of_bars(method, lines)


def _chain(owner: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> list[ast.ClassDef] | None:
    """It and its bases in this text; None where it is no strategy, or another base may have anything."""
    chain, strategy_found = [owner], False
    for one in chain:
        for base in one.bases:
            name = base.id if isinstance(base, ast.Name) else ""
            if name == "Strategy":
                strategy_found = True
            elif name in classes:
                if classes[name] not in chain:
                    chain.append(classes[name])
            else:
                return None
    return chain if strategy_found else None


def _defined(owner: ast.ClassDef) -> set[str]:
    """What a class and its methods put into its instances."""
    names: set[str] = set()
    for one in owner.body:
        match one:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Assign(targets=targets):
                names |= {each.id for each in targets if isinstance(each, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
    for node in ast.walk(owner):
        match node:
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                names.add(name)
            case ast.Call(func=ast.Name(id="setattr")) | ast.Attribute(attr="__dict__"):
                names.add("*")  # anything may be there
    return names


def _of_self(method: ast.AST, name: str, known: set[str], lines: list[bytes]) -> Iterator[Problem]:
    if "*" in known or name != "self":
        return
    for node in ast.walk(method):
        match node:
            case ast.Attribute(value=ast.Name(id="self"), attr=attr, ctx=ast.Load()) if (
                attr not in known and not attr.startswith("__")
            ):
                close = nearest(attr, known)
                hint = f": did you mean {close[0]}?" if close else "."
                said = f"This strategy has no {attr}{hint}"
                yield _at(lines, node, "error", "attribute_unknown", said, attr)


def _of_bars(method: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[bytes]) -> Iterator[Problem]:
    names = _bars(method)
    for node in ast.walk(method):
        match node:
            case ast.Attribute(value=ast.Name(id=owner), attr=attr) if owner in names:
                if attr not in _BARS and attr not in indicator.registry():
                    close = nearest(attr, [*COLUMNS, *indicator.registry()])
                    hint = f": did you mean {' or '.join(close)}?" if close else "."
                    said = f"Bars have no column or indicator {attr}{hint}"
                    yield _at(lines, node, "error", "indicator_unknown", said, attr)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr=attr)) if owner in names:
                if attr in indicator.registry():
                    yield from _called(node, attr, lines)
        match node:
            case ast.Attribute(
                value=ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr=attr)) as call, attr=output
            ) if owner in names and attr in indicator.registry():
                yield from _output(node, call, attr, output, lines)
            case ast.Call(func=ast.Attribute(attr="shift"), args=[steps, *_]) if (
                value := _number(steps)
            ) is not None and value < 1:
                said = f"A signal knows the past alone: shift({value:g}) would look ahead."
                yield _at(lines, node, "error", "lookahead", said)


def _bars(method: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """The arguments and loop variables of a method that are bars."""
    names = {
        one.arg
        for one in method.args.args
        if isinstance(one.annotation, ast.Name) and one.annotation.id == "Bars"
    }
    if method.name == "signal" and len(method.args.args) > 1:
        names.add(method.args.args[1].arg)
    if method.name in ("signals", "start"):
        for node in ast.walk(method):
            match node:
                # `for name, bars in market.items()`
                case ast.For(target=ast.Tuple(elts=[_, ast.Name(id=name)]), iter=ast.Call()):
                    names |= {name} if name == "bars" else set()
                case ast.comprehension(target=ast.Tuple(elts=[_, ast.Name(id=name)]), iter=ast.Call()):
                    names |= {name} if name == "bars" else set()
    return names


def _called(node: ast.Call, name: str, lines: list[bytes]) -> Iterator[Problem]:
    spec = indicator.registry()[name]
    known = {each.name: each for each in spec.params}
    if any(isinstance(one, ast.Starred) for one in node.args) or any(
        one.arg is None for one in node.keywords
    ):
        return
    if len(node.args) > len(known):
        said = f"Too many parameters: {name} has {len(known)}, {len(node.args)} are given."
        yield _at(lines, node, "error", "parameter_invalid", said)
        return
    given = dict(zip(known, node.args, strict=False))
    for one in node.keywords:
        if one.arg not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            yield _at(
                lines, one, "error", "parameter_unknown", f"Parameter {one.arg} is none of {name}: {has}."
            )
        else:
            given[str(one.arg)] = one.value
    for each, value in given.items():
        number, told = _number(value), known[each]
        if number is not None and not told.low <= number <= told.high:
            said = f"Parameter {each} of {name} is {told.low:g} to {told.high:g}, not {number:g}."
            yield _at(lines, value, "error", "parameter_invalid", said)


def _output(
    node: ast.Attribute, call: ast.Call, name: str, output: str, lines: list[bytes]
) -> Iterator[Problem]:
    outputs = [each.name for each in indicator.registry()[name].outputs]
    if len(outputs) > 1 and output not in (*outputs, "one"):
        said = f"Output {output} is none of {name}: it has {', '.join(outputs)}."
        yield _at(lines, node, "error", "output_unknown", said, output)
    elif len(outputs) == 1 and output not in _SIGNAL:
        said = f"The output of {name} is one signal, which has no {output}."
        yield _at(lines, node, "error", "output_unknown", said, output)


def _formulas(tree: ast.Module, lines: list[bytes]) -> Iterator[Problem]:
    """Questions that ask a formula for a value that it does not have yet."""
    for owner in tree.body:
        if not isinstance(owner, ast.ClassDef):
            continue
        for method in owner.body:
            if not isinstance(method, ast.FunctionDef) or method.name not in ("signal", "signals"):
                continue
            names = _bars(method)
            for node in ast.walk(method):
                tests: list[ast.expr] = []
                match node:
                    case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
                        tests = [test]
                    case ast.BoolOp(values=values):
                        tests = values
                    case ast.UnaryOp(op=ast.Not(), operand=operand):
                        tests = [operand]
                for test in tests:
                    if _is_formula(test, names):
                        said = (
                            "A formula has no value yet: write when(a > b, x, y), and & | ~ for and, or, not."
                        )
                        yield _at(lines, test, "error", "signal_invalid", said)


def _is_formula(test: ast.expr, names: set[str]) -> bool:
    """A comparison or column made of bars; `and`, `or` and `not` are looked at themselves."""
    parts = [test.left, *test.comparators] if isinstance(test, ast.Compare) else [test]
    for part in parts:
        while isinstance(part, (ast.Attribute, ast.Call)):
            part = part.func if isinstance(part, ast.Call) else part.value
            if isinstance(part, ast.Name) and part.id in names:
                return not (isinstance(test, ast.Compare) and isinstance(test.ops[0], (ast.Is, ast.IsNot)))
    return False


def _number(node: ast.expr) -> float | None:
    match node:
        case ast.Constant(value=bool()):
            return None
        case ast.Constant(value=int() | float() as value):
            return _plain(value)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return None if _plain(value) is None else -float(value)
    return None


def _plain(value: Any) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None


def _at(
    lines: list[bytes], node: Any, severity: Severity, code: str, message: str, attr: str = ""
) -> Problem:
    """A problem at a node, or at the name at its end. Python counts columns in bytes, an editor in UTF-16."""
    line, end_line = node.lineno, node.end_lineno
    column, end_column = _column(lines, line, node.col_offset), _column(lines, end_line, node.end_col_offset)
    if attr:
        line, column = end_line, max(1, end_column - len(attr))
    return Problem(severity, code, message[:400], line, column, end_line, end_column)


def _column(lines: list[bytes], line: int, offset: int) -> int:
    text = lines[line - 1] if line <= len(lines) else b""
    return len(text[:offset].decode("utf-8", "replace").encode("utf-16-le", "replace")) // 2 + 1
