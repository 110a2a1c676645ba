"""One file per noun. Importing them enters their routes into the registry of `service.command`."""

from __future__ import annotations


def enter_all() -> None:
    """Enters every route."""
    from tidemill.service.route import (  # noqa: F401
        alert,
        backtest,
        collection,
        command,
        configuration,
        data,
        dataset,
        document,
        editor,
        event,
        fetch,
        gap,
        health,
        historical,
        importing,
        indicator,
        instrument,
        job,
        lab,
        market,
        metric,
        query,
        session,
        stock,
        strategy,
        study,
        tile,
    )
