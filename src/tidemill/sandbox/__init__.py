"""The separate runner of code that is not the owner's own: what came over HTTP, from a database, from
another user or from a model runs here and nowhere else.

    from tidemill import sandbox
    answer = sandbox.run("call", {"source": text, "entry": "main", "args": {}}, {}, limits=sandbox.Limits())

    with sandbox.Pool(4) as pool, pool.lease(owner, source) as session:     # a study: many trials, one owner
        answer = session.run("call", {"source": source, "entry": "main"}, tables)

docs/sandbox.md says what holds and what does not. Names are imported when first used: the guest inside the
sandbox imports this package, too, and must start at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidemill.sandbox.answer import Answer
    from tidemill.sandbox.isolation import Isolation, available, log_of
    from tidemill.sandbox.limit import Limits
    from tidemill.sandbox.pool import Pool, Session, lease, run

__all__ = ["Answer", "Isolation", "Limits", "Pool", "Session", "available", "lease", "log_of", "run"]

_HOMES = {
    "Answer": "answer",
    "Isolation": "isolation",
    "Limits": "limit",
    "Pool": "pool",
    "Session": "pool",
    "available": "isolation",
    "lease": "pool",
    "log_of": "isolation",
    "run": "pool",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'tidemill.sandbox' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"tidemill.sandbox.{home}"), name)
