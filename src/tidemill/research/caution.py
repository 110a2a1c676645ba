"""What a reader has to be told beside a Sharpe ratio before it is believed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

TRADES_MIN: Final = 30
YEARS_MIN: Final = 1.0
SHARE_MAX: Final = 0.5
DEFLATED_MIN: Final = 0.95
OVERFITTING_MAX: Final = 0.5
DROP_MAX: Final = 0.5
SHARPE_MAX: Final = 3.0


@dataclass(frozen=True)
class Caution:
    """One reason to doubt, with what was found."""

    code: str
    text: str


def of(
    *,
    years: float,
    sharpe: float | None,
    trades: int | None = None,
    largest_share: float | None = None,
    deflated: float | None = None,
    overfitting: float | None = None,
    inside: float | None = None,
    outside: float | None = None,
    isolated: bool = False,
    costs: float | None = None,
) -> list[Caution]:
    """All that apply, of what is known. `sharpe` is of a year; `inside` and `outside` are annual returns in
    and out of the sample; `isolated` says that the neighbours of the chosen parameters do far worse; `costs`
    is what was paid in fees, spread and slippage."""
    found = []

    def tell(code: str, text: str) -> None:
        found.append(Caution(code, text))

    if trades is not None and trades < TRADES_MIN:
        tell("few_trades", f"{trades} trades: fewer than {TRADES_MIN} say little")
    if years < YEARS_MIN:
        tell("short", f"{years:.2f} years: less than one has not seen what a year brings")
    if largest_share is not None and largest_share > SHARE_MAX:
        tell("one_trade", f"one trade made {largest_share:.0%} of the profit")
    if deflated is not None and deflated < DEFLATED_MIN:
        tell("deflated", f"deflated Sharpe ratio {deflated:.2f}: the best of so many trials may be luck")
    if overfitting is not None and overfitting > OVERFITTING_MAX:
        tell("overfit", f"probability of overfitting {overfitting:.2f}: the best inside is not outside")
    if inside is not None and outside is not None and inside > 0 and outside < inside * (1 - DROP_MAX):
        tell("drop", f"{inside:.1%} a year inside the sample, {outside:.1%} outside it")
    if isolated:
        tell("isolated", "the parameters next to these do far worse")
    if costs is not None and costs == 0:
        tell("no_costs", "nothing was paid for trading")
    if sharpe is not None and sharpe > SHARPE_MAX:
        tell("too_good", f"a Sharpe ratio of {sharpe:.1f} is rare: look for rows that were known too early")
    return found
