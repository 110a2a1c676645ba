"""The examples of docs/lake.md run on a real lake."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import polars as pl

from tests.stores.make import mixed
from tests.stores.test_live import World
from tidemill.stores.table import TABLES

DOCS = Path(__file__).parent.parent.parent / "docs"


def test_the_examples_run(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.write(mixed(3_000))
    world.record()
    world.journal.close()
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "lake.md").read_text(), re.DOTALL)
    duck, polars_, _spark, imports = blocks
    name = "sim-kraken"
    scope: dict[str, object] = {"home": str(tmp_path)}
    exec(  # noqa: S102 - the page's own text
        duck.replace("'kraken'", f"'{name}'")
        .replace('"kraken"', f'"{name}"')
        .replace("duckdb.sql", "rows = duckdb.sql")
        + "\nfetched = rows.fetchall()",
        scope,
    )
    trades, _ = world.trades("BTC-USD.sim-kraken")
    expected = (trades["price"] / 10 * (trades["size"] / 1e8)).sum() / (trades["size"] / 1e8).sum()
    found = dict(scope["fetched"])["BTC-USD.sim-kraken"]  # type: ignore[call-overload]
    assert abs(found / expected - 1) < 1e-12
    exec(polars_.replace(".kraken", f".{name}"), scope)  # noqa: S102
    bars = scope["bars"]
    assert isinstance(bars, pl.DataFrame)
    whole = world.bars("BTC-USD.sim-kraken", "1m")
    assert bars["ts_event"].to_list() == whole["start"].tolist()[: len(bars)]
    assert "import_bars(" in imports
    assert duckdb.__version__


def test_every_table_and_column_is_described() -> None:
    text = (DOCS / "lake.md").read_text()
    for table in TABLES.values():
        assert f"`{table.name}`" in text
        for column in table.schema.names:
            if column not in ("date", "month", "payload"):
                assert f"`{column}`" in text, f"{table.name}.{column}"
