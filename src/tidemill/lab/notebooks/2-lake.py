"""# The lake, with a mouse

Choose an instrument and an interval; the query, the frame and the picture follow.

*Needs: a home with history; the platform may be off.*
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium")


@app.cell
def _():
    import marimo as mo
    import matplotlib.pyplot as plt
    import polars as pl

    import tidemill as tm

    td = tm.connect()
    return mo, pl, plt, td


@app.cell
def _(mo):
    mo.md("""
    # The lake, with a mouse

    A marimo notebook is a program whose cells know what they depend on: change a choice, and
    what follows from it runs again.
    """)
    return


@app.cell
def _(mo, td):
    names = td.instruments()["instrument"].to_list()
    instrument = mo.ui.dropdown(names, value=names[0], label="Instrument")
    interval = mo.ui.dropdown(["5m", "15m", "1h", "4h"], value="1h", label="Interval")
    days = mo.ui.slider(2, 30, value=14, label="Days", show_value=True)
    mo.hstack([instrument, interval, days], justify="start")
    return days, instrument, interval


@app.cell
def _(days, instrument, interval, pl, plt, td):
    bars = td.bars(instrument.value, interval.value, last=f"{days.value}d").with_columns(
        ret=pl.col("close").log().diff()
    )
    figure, (top, low) = plt.subplots(2, 1, figsize=(9, 4), sharex=True, height_ratios=[3, 1])
    top.plot(bars["ts"], bars["close"], linewidth=1)
    top.set_title(f"{instrument.value}, {interval.value}, {len(bars)} bars", loc="left")
    low.bar(bars["ts"], bars["volume"], width=0.8 * days.value / max(len(bars), 1))
    low.set_ylabel("volume")
    figure
    return (bars,)


@app.cell
def _(bars, mo):
    mo.ui.table(
        bars.select("close", "volume", "trades", "ret").describe().to_dicts(),
        selection=None,
        label="In numbers",
    )
    return


@app.cell
def _(mo):
    mo.md("""
    ## What is stored

    `td.sql` reads the same lake by SQL.
    """)
    return


@app.cell
def _(td):
    td.sql("""
        SELECT venue, interval, count(*) AS bars, min(ts) AS first, max(ts) AS last
        FROM bars WHERE interval IN ('1h', '1d') GROUP BY ALL ORDER BY ALL
    """)
    return


if __name__ == "__main__":
    app.run()
