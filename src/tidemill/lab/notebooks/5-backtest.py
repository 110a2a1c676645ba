"""# A backtest with sliders

Move a parameter and see the equity change, and the count of trials with it.

*Needs: a home with history; the platform may be off.*
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium")


@app.cell
def _():
    import marimo as mo

    import tidemill as tm

    td = tm.connect()
    return mo, td


@app.cell
def _(mo):
    mo.md("""
    # A backtest with sliders

    It is easy to move a slider until the line looks good. So watch the two numbers beside the
    Sharpe ratio: how many variants were tried so far, and how likely it is that the best of so
    many is more than luck.
    """)
    return


@app.cell
def _(mo, td):
    names = td.instruments()["instrument"].to_list()
    instrument = mo.ui.dropdown(names, value=names[0], label="Instrument")
    fast = mo.ui.slider(5, 50, step=5, value=20, label="Fast average", show_value=True, debounce=True)
    slow = mo.ui.slider(60, 200, step=20, value=100, label="Slow average", show_value=True, debounce=True)
    fee = mo.ui.slider(0, 20, value=5, label="Fee, bps", show_value=True, debounce=True)
    mo.hstack([instrument, fast, slow, fee], justify="start", wrap=True)
    return fast, fee, instrument, slow


@app.cell
def _(fast, fee, instrument, slow, td):
    run = td.backtest(
        "sma_cross",
        instrument.value,
        "15m",
        fast=fast.value,
        slow=slow.value,
        costs={"taker": fee.value / 10_000},
        stress=False,
        quiet=True,
    )
    return (run,)


@app.cell
def _(mo, run):
    shown = {
        "Sharpe ratio": f"{run.stats['sharpe'] or 0:.2f}",
        "Trials so far": f"{run.stats['trials']}",
        "Deflated": f"{run.stats['deflated_sharpe'] or 0:.2f}",
        "Total return": f"{run.stats['total_return'] or 0:.1%}",
    }
    mo.hstack([mo.stat(value, label=name, bordered=True) for name, value in shown.items()])
    return


@app.cell
def _(run):
    run.plot()
    return


@app.cell
def _(mo, run):
    mo.md("\n".join(["**Reasons to doubt it**", "", *(f"- {one}" for one in run.cautions)]))
    return


@app.cell
def _(run):
    run.trades.tail(10)
    return


if __name__ == "__main__":
    app.run()
