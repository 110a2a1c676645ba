"""One look at all rules: a firing is written with what its rule keeps, or neither is.

What a rule keeps between two looks is in memory, and written at the first one, with each firing and now and
then: after a kill the next look begins a little earlier, and finds again only what was not told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from tidemill.alerts.kind.api import Facts, Occurrence, State, Terms
from tidemill.alerts.rule import terms_of
from tidemill.errors import TidemillError
from tidemill.metadata import Metadata, alert
from tidemill.metadata.alert import Rule

FIRINGS_MAX = 20
"""Of one rule in one look."""
FLUSH_NS = 15_000_000_000
"""Between two times that what rules keep is written."""


@dataclass
class _Watched:
    """A rule as it is looked at, and what it keeps."""

    terms: Terms | None
    state: State
    """Of its kind."""
    told: dict[str, int]
    """When it last fired, by what it was of."""

    @property
    def kept(self) -> dict[str, Any]:
        return {"kind": self.state, "told": self.told}


@dataclass
class Watcher:
    """Everything that is needed to look again."""

    metadata: Metadata
    _watched: dict[tuple[str, int], _Watched] = field(default_factory=dict)
    _flushed: int = 0

    def rules(self) -> list[Rule]:
        """Those to look at."""
        with self.metadata.read() as connection:
            rules = alert.every(connection, enabled=True)
        old = self._watched
        self._watched = {
            (rule.id, rule.changed): old.get((rule.id, rule.changed)) or _begun(rule) for rule in rules
        }
        return rules

    def sees(self) -> frozenset[str]:
        """Which facts the rules want besides the data."""
        empty: frozenset[str] = frozenset()
        return empty.union(*(one.terms.sees for one in self._watched.values() if one.terms))

    def look(self, rules: Sequence[Rule], facts: Facts) -> int:
        """Looks at each of `rules()`; returns how many firings there were. What is wrong with one is told
        with it, and keeps none of the others."""
        fired = sum(self._look(rule, facts) for rule in rules)
        if facts.now - self._flushed >= FLUSH_NS:
            self.flush(rules)
            self._flushed = facts.now
        return fired

    def flush(self, rules: Sequence[Rule]) -> None:
        """Writes what the rules keep."""
        changed = [
            (rule, kept)
            for rule in rules
            if (one := self._watched.get((rule.id, rule.changed))) and (kept := one.kept) != rule.state
        ]
        if changed:
            with self.metadata.write() as connection:
                for rule, kept in changed:
                    alert.keep(connection, rule, {"state": kept})

    def _look(self, rule: Rule, facts: Facts) -> int:
        watched = self._watched[rule.id, rule.changed]
        if rule.expires is not None and facts.now >= rule.expires:
            self._keep(rule, {"enabled": False})
            return 0
        if watched.terms is None:
            self._keep(rule, {"trouble": "this version of Tidemill does not know its terms"})
            return 0
        try:
            state, happened = watched.terms.look(facts, dict(watched.state))
        except TidemillError as error:
            self._keep(rule, {"trouble": str(error)[:1000]})
            return 0
        told = dict(watched.told)
        due = _due(rule, happened, told)
        after = replace(watched, state=state, told=told)
        values: dict[str, Any] = {"trouble": None}
        if due or not rule.state:
            values["state"] = after.kept
        if due:
            values |= {"fired": due[-1].ts, "count": rule.count + len(due)}
            values |= {"enabled": False} if rule.once else {}
        if self._keep(rule, values, due):
            self._watched[rule.id, rule.changed] = after
        return len(due)

    def _keep(self, rule: Rule, values: dict[str, Any], due: Sequence[Occurrence] = ()) -> bool:
        """Writes what is other than it was: a quiet rule costs no write. False where somebody has changed the
        rule meanwhile: the next look is at what it is now."""
        changed = {name: value for name, value in values.items() if getattr(rule, name) != value}
        if not changed:
            return True
        with self.metadata.write() as connection:
            if not alert.keep(connection, rule, changed):
                return False
            for one in due:
                told = {"ts": one.ts, "subject": one.subject, "value": one.value, "message": one.message}
                alert.fire(connection, rule, told)
        return True


def _begun(rule: Rule) -> _Watched:
    try:
        terms = terms_of(rule.terms)
    except ValidationError:
        terms = None
    return _Watched(terms, dict(rule.state.get("kind", {})), dict(rule.state.get("told", {})))


def _due(rule: Rule, happened: Sequence[Occurrence], told: dict[str, int]) -> list[Occurrence]:
    """What is told of what happened: not the same again within the quiet time. `told` takes it down."""
    due: list[Occurrence] = []
    for one in happened:
        last = told.get(one.subject)
        if last is not None and last <= one.ts < last + rule.cooldown_s * 1_000_000_000:
            continue
        told[one.subject] = one.ts
        due.append(one)
        if rule.once or len(due) == FIRINGS_MAX:
            break
    return due
