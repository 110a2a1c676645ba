"""What editors offer is what the package has, and works as it is offered."""

from __future__ import annotations

import inspect

import pytest

from tidemill import indicator, strategy
from tidemill.strategies.language import HOOKS, language
from tidemill.strategies.signal import COLUMNS, Bars, Lines, Signal


def public(owner: type) -> set[str]:
    """Names of its own: not those that any tuple has."""
    anyones = set(dir(tuple)) if issubclass(owner, tuple) else set()
    return {name for name in dir(owner) if not name.startswith("_")} - anyones


def test_names_are_those_that_can_be_imported() -> None:
    assert [one.name for one in language().names] == strategy.__all__
    assert all(one.text for one in language().names)


@pytest.mark.parametrize("name", ["Strategy", "Signal", "Lines", "Bar", "Fill", "Watch"])
def test_members_are_those_of_the_class(name: str) -> None:
    owner = getattr(strategy, name)
    told = {one.name for one in language().members[name]}
    assert told >= public(owner)
    assert told - public(owner) <= set(inspect.get_annotations(owner)) | set(getattr(owner, "__slots__", ()))


def test_bars_have_columns_and_every_indicator() -> None:
    told = {one.name: one for one in language().members["Bars"]}
    assert set(told) == {*COLUMNS, *indicator.registry(), *public(Bars)}
    bars = Bars("BTC-USD.up")
    for name, spec in indicator.registry().items():
        word = told[name]
        assert word.params == tuple(each.name for each in spec.params)
        made = getattr(bars, name)(**{each.name: each.default for each in spec.params})
        assert isinstance(made, {"Signal": Signal, "Lines": Lines}[word.gives])
        if word.gives == "Lines":
            assert all(isinstance(made[output], Signal) for output in word.outputs)


def test_what_is_said_to_give_a_signal_does() -> None:
    signal = Bars("BTC-USD.up").close
    values = {"steps": 2, "period": 3, "low": 0, "high": 1, "other": signal, "name": "sma", "params": {}}
    for word in language().members["Signal"]:
        if word.gives == "Signal":
            made = getattr(signal, word.name)(*(values[each] for each in word.params))
            assert isinstance(made, Signal), word
    assert {one.name for one in language().members["Strategy"] if one.kind == "hook"} == set(HOOKS)
