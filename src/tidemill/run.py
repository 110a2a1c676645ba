"""A backtest as Python has it: `run = td.backtest(…)`, then `run.stats`, `run.trades`, `run.report(…)`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tidemill.errors import ConfigError, UsageError

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from tidemill.research.conduct import Again, Subject
    from tidemill.research.store import Row

_TIMES = ("ts", "opened", "closed", "end")
_SHOWN = (
    ("total_return", "total return", "percent"), ("cagr", "a year", "percent"),
    ("sharpe", "Sharpe", "number"), ("deflated_sharpe", "deflated Sharpe", "number"),
    ("max_drawdown", "max drawdown", "percent"), ("trades", "trades", "count"),
)  # fmt: skip


class Keeper(Protocol):
    """Who has a run: the home on this disk, or a platform behind a URL."""

    def table(self, run: str, name: str) -> pa.Table:
        """A table of it, by its name."""

    def report(self, row: Row) -> str:
        """Its report as HTML."""

    def again(self, row: Row, found: Subject | None) -> Again:
        """Its second run."""


class Run:
    """One run that is kept: what it was asked, what came of it. Tables are read when they are asked for.

    Frames are polars; times are UTC, prices and sizes float64. `stats` has the numbers of
    `docs/backtests.md` by name, None where the run does not define one; `notes` and `cautions` say more."""

    def __init__(self, row: Row, keeper: Keeper, subject: Subject | None = None) -> None:
        self.row = row
        self._keeper = keeper
        self._subject = subject
        self._tables: dict[str, pa.Table] = {}

    @property
    def id(self) -> str:
        return self.row.id

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what determines it: code, parameters, settings, rows and version."""
        return self.row.fingerprint

    @property
    def digest(self) -> str | None:
        """SHA-256 of what came of it: equal runs have equal ones."""
        return self.row.outcome_digest

    @property
    def params(self) -> dict[str, Any]:
        return dict(self.row.params)

    @property
    def stats(self) -> dict[str, float | int | None]:
        """Every number by name. `sharpe` is the best of `trials`: read it with `deflated_sharpe`."""
        return dict(self.row.numbers)

    @property
    def notes(self) -> list[str]:
        """Why a number is None, or less sure than it looks."""
        return list((self.row.summary or {}).get("notes", []))

    @property
    def cautions(self) -> list[str]:
        """Every reason to doubt the result."""
        return [one["text"] for one in (self.row.summary or {}).get("cautions", [])]

    @property
    def stress(self) -> pl.DataFrame:
        """The same with 0, 1, 2 and 4 times the costs; empty where it was not run so."""
        import polars as pl

        return pl.DataFrame([dict(one) for one in self.row.stress or []])

    @property
    def orders(self) -> pl.DataFrame:
        """Orders as they were sent, with their state and why one was refused."""
        return self._frame("orders")

    @property
    def fills(self) -> pl.DataFrame:
        """What was done of them."""
        return self._frame("fills")

    @property
    def trades(self) -> pl.DataFrame:
        """From flat to flat; `closed` is null of one that is still open."""
        return self._frame("trades")

    @property
    def equity(self) -> pl.DataFrame:
        """After every step: equity, and what positions are worth without signs (gross) and with them."""
        return self._frame("equity")

    @property
    def days(self) -> pl.DataFrame:
        """At the end of each day: equity, and the same money bought and held."""
        return self._frame("days")

    def table(self, name: str) -> pa.Table:
        """A table as it is kept: exact decimals, times in ns."""
        if name not in self._tables:
            self._tables[name] = self._keeper.table(self.id, name)
        return self._tables[name]

    def _frame(self, name: str) -> pl.DataFrame:
        import polars as pl

        found = pl.from_arrow(self.table(name))
        assert isinstance(found, pl.DataFrame)  # noqa: S101 - a table was read
        times = [pl.col(one).cast(pl.Datetime("ns", "UTC")) for one in _TIMES if one in found.columns]
        return found.with_columns(pl.col(pl.Decimal).cast(pl.Float64), *times)

    def report(self, file: str | os.PathLike[str]) -> Path:
        """Writes the report, by what the name ends in: `.html` in one file, `.json`, or a zip of tables as
        `.csv.zip` or `.parquet.zip`. Raises `UsageError` `report_form` for another."""
        path = Path(file)
        form = next((one for one in _WRITERS if path.name.endswith(one)), None)
        if form is None:
            raise UsageError(
                "report_form",
                f"no report is written as {path.name[:80]!r}",
                hint="end it in " + ", ".join(_WRITERS),
            )
        body = self._keeper.report(self.row).encode() if form == ".html" else self._bundle(_WRITERS[form])
        path.write_bytes(body)
        return path

    def _bundle(self, form: str) -> bytes:
        from tidemill.research import report
        from tidemill.research.store import SCHEMAS

        written: bytes = getattr(report, form)(self.row, {name: self.table(name) for name in SCHEMAS})
        return written

    def plot(self) -> Any:
        """A matplotlib figure: equity against buy and hold, and the drawdown below. Raises `ConfigError`
        `extra_missing` where matplotlib is not installed."""
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ConfigError(
                "extra_missing", "plots need matplotlib, which is not installed",
                hint="pip install 'tidemill[notebook]', or write run.report('run.html')",
            ) from error  # fmt: skip
        import numpy as np

        days = self.days
        at, equity = days["end"].to_numpy(), days["equity"].to_numpy()
        figure = Figure(figsize=(10, 5.5), layout="constrained")
        top, low = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        top.plot(
            at,
            days["benchmark"].to_numpy(),
            color="#6B7A88",
            linestyle="--",
            linewidth=1,
            label="buy and hold",
        )
        top.plot(at, equity, color="#10698F", linewidth=1.6, label="strategy")
        top.set_title(self._title(), fontsize=10, loc="left")
        top.legend(frameon=False, fontsize=8)
        fallen = equity / np.maximum.accumulate(equity) - 1
        low.fill_between(at, fallen * 100, 0, color="#B42318", alpha=0.3)
        low.set_ylabel("drawdown, %", fontsize=8)
        for axes in (top, low):
            axes.grid(alpha=0.25)
            axes.tick_params(labelsize=8)
        return figure

    def again(self) -> Run:
        """The same once more, over the same rows, kept as a run of its own. Raises `ConflictError`
        `run_differs` where its rows or its outcome are not what they were, `run_code_changed` where its
        code is another by now."""
        from tidemill.errors import ConflictError

        found = self._keeper.again(self.row, self._subject)
        second = Run(found.row, self._keeper, self._subject)
        if not found.outcome:
            what = "on rows that were revised since" if not found.data else "on the same rows"
            raise ConflictError(
                "run_differs",
                f"the run {self.id} came out differently {what}: it is kept as {second.id}",
                hint=f"`tidemill backtest compare {self.id} {second.id}` shows both",
            )
        return second

    def _title(self) -> str:
        return f"{self.row.strategy} on {', '.join(self.row.instruments[:3])}, {self.row.interval}"

    def _said(self) -> list[tuple[str, str]]:
        from tidemill.research.report import text

        numbers = self.row.numbers
        shown = []
        for name, label, form in _SHOWN:
            value = numbers.get(name)
            extra = f" (best of {text.count(numbers.get('trials'))})" if name == "sharpe" else ""
            shown.append((label + extra, getattr(text, form)(value)))
        return shown

    def __repr__(self) -> str:
        said = ", ".join(f"{label} {value}" for label, value in self._said())
        return f"<tidemill.Run {self.id}: {self._title()}: {said}>"

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<td style='padding:2px 14px 2px 0'><small>{escape(label)}</small><br><b>{escape(value)}</b></td>"
            for label, value in self._said()
        )
        doubts = "".join(f"<div>⚠ {escape(one)}</div>" for one in self.cautions)
        return (
            f"<div><b>{escape(self._title())}</b> <code>{escape(self.id)}</code>"
            f"<table><tr>{cells}</tr></table>{doubts}</div>"
        )


_WRITERS: Mapping[str, str] = {
    ".html": "html", ".json": "json", ".csv.zip": "csv", ".parquet.zip": "parquet",
}  # fmt: skip
