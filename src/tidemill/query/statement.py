"""One statement, read by DuckDB's own parser: a SELECT over our datasets, or an error that says where.

Nothing here is needed for safety, which is the locked connection's (`session`): it is what makes a refusal
plain, and a second wall behind the first.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import duckdb
import orjson

from tidemill import errors
from tidemill.errors import UsageError
from tidemill.query.limit import SQL_CHARS_MAX

HINT = "docs/query.md lists the datasets and their columns; `DESCRIBE trades` shows one"
_NODES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
_TABLE_FUNCTIONS = {"range", "generate_series", "unnest"}
_REFUSED = (
    "read_",
    "write_",
    "parquet_",
    "duckdb_",
    "pragma_",
    "load_",
    "sniff_",
    "current_setting",
    "getenv",
)
_NOWHERE = 2**63
_DEPTH_MAX = 500


@dataclass(frozen=True)
class Statement:
    """What was asked, and the datasets it reads, as (schema, name)."""

    text: str
    datasets: frozenset[tuple[str, str]]


def invalid(why: str, sql: str = "", at: int | None = None, hint: str = HINT) -> UsageError:
    """The error for SQL that cannot run; `at` is the place of the fault, in bytes of `sql`."""
    where = ""
    if at is not None and 0 <= at <= len(sql.encode()):
        before = sql.encode()[:at].decode("utf-8", "replace")
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        where = f"line {line}, column {column}: "
    return UsageError("query_invalid", f"{where}{why}"[:1_000], hint=hint)


def read(sql: str, known: Collection[tuple[str, str]]) -> Statement:
    """The one statement of `sql` over datasets of `known`. Raises `UsageError` `query_invalid`."""
    if not sql.strip():
        raise invalid("there is no statement")
    if len(sql) > SQL_CHARS_MAX:
        raise invalid(f"{len(sql)} characters are more than {SQL_CHARS_MAX}")
    if "\0" in sql:
        raise invalid("there is a NUL in it")
    parser = _parser().cursor()
    try:
        found = parser.extract_statements(sql)
        tree = parser.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()[0][0]
    except (duckdb.Error, UnicodeError) as error:
        raise invalid(_first(error), sql, _caret(error, sql)) from None
    finally:
        parser.close()
    if len(found) != 1:
        raise invalid(f"there are {len(found)} statements, and one is answered", hint="send one at a time")
    try:
        parsed: dict[str, Any] = orjson.loads(tree)
    except orjson.JSONDecodeError:
        raise invalid("it is nested too deeply") from None
    if found[0].type != duckdb.StatementType.SELECT or parsed.get("error_type") == "not implemented":
        kind = found[0].type.name if found[0].type != duckdb.StatementType.MULTI else "PIVOT"
        raise invalid(
            f"{kind} is not answered: data is only read here", hint="write a SELECT, or WITH … SELECT"
        )
    if parsed["error"]:
        at = parsed.get("position")
        raise invalid(str(parsed["error_message"]), sql, int(at) if at is not None else None)
    return Statement(found[0].query.strip().rstrip(";"), _vetted(sql, parsed, known))


@functools.cache
def _parser() -> duckdb.DuckDBPyConnection:
    """A database of nothing, that only reads texts."""
    return duckdb.connect(":memory:", config={"threads": 1, "enable_external_access": "false"})


def _vetted(sql: str, tree: dict[str, Any], known: Collection[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    nodes = list(_nodes(tree, 0))
    named = {
        str(entry["key"]).casefold()
        for node in nodes
        if isinstance(node.get("cte_map"), dict)
        for entry in node["cte_map"]["map"]
    }
    named |= {str(node["cte_name"]).casefold() for node in nodes if node.get("cte_name")}
    found: set[tuple[str, str]] = set()
    for node in nodes:
        kind = str(node.get("type", ""))
        at = node.get("query_location", _NOWHERE)
        at = at if at < _NOWHERE else None
        if kind.endswith("_NODE") and kind not in _NODES:
            raise invalid(f"{kind.split('_')[0]} is not answered: data is only read here", sql, at)
        if kind == "TABLE_FUNCTION":
            function = str(node["function"].get("function_name", "")).casefold()
            if function not in _TABLE_FUNCTIONS:
                raise invalid(f"the table function {function[:60]!r} may not be used", sql, at)
        elif node.get("class") == "FUNCTION":
            function = str(node.get("function_name", "")).casefold()
            if function.startswith(_REFUSED):
                raise invalid(f"the function {function[:60]!r} may not be used", sql, at)
        elif kind == "BASE_TABLE":
            path = [str(part).casefold() for part in node["qualified_name"]["path"]]
            if len(path) == 1 and path[0] in named:
                continue
            found.add(_dataset(path, known, sql, at))
        elif kind == "SHOW_REF" and node.get("show_type") == "SHOW_SPECIAL":
            found |= set(known)
    return frozenset(found)


def _dataset(
    path: list[str], known: Collection[tuple[str, str]], sql: str, at: int | None
) -> tuple[str, str]:
    schema, name = ("main", path[-1]) if len(path) == 1 else (path[-2], path[-1])
    if (schema, name) not in known or len(path) > 2:
        have = [one if of == "main" else f"{of}.{one}" for of, one in known]
        shown = ".".join(path)[:80]
        near = errors.nearest(shown, have)
        raise invalid(
            f"there is no dataset {shown!r}", sql, at, f"nearest: {', '.join(near)}" if near else HINT
        )
    return schema, name


def _nodes(tree: Any, depth: int) -> Iterator[dict[str, Any]]:
    if depth > _DEPTH_MAX:
        raise invalid("it is nested too deeply")
    if isinstance(tree, dict):
        yield tree
        for value in tree.values():
            yield from _nodes(value, depth + 1)
    elif isinstance(tree, list):
        for value in tree:
            yield from _nodes(value, depth + 1)


def _first(error: Exception) -> str:
    """What DuckDB says, without the line that it shows."""
    return str(error).partition("\n\nLINE ")[0].strip()


def _caret(error: Exception, sql: str) -> int | None:
    """Where DuckDB's caret stands, in bytes; None where it has drawn none or shortened the line."""
    _, mark, shown = str(error).partition("\n\nLINE ")
    number, _, rest = shown.partition(": ")
    line, _, below = rest.partition("\n")
    if not mark or not number.isdigit() or "^" not in below:
        return None
    lines = sql.split("\n")
    at = int(number) - 1
    if at >= len(lines) or line.rstrip() != lines[at].rstrip():
        return None
    column = below.index("^") - len(f"LINE {number}: ")
    return len("\n".join([*lines[:at], lines[at][: max(0, column)]]).encode())


def located(error: Exception, sql: str) -> UsageError:
    """DuckDB's own error as ours, with its place."""
    return invalid(_first(error), sql, _caret(error, sql))
