"""What an editor of strategies asks: what to offer, what to mark, and whether a text looks ahead. Texts are
read here, and run in the sandbox alone."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import Body, Query, Request, Response

from tidemill.service import answer, instant, platform
from tidemill.service import strategy as schema
from tidemill.service.command import command

if TYPE_CHECKING:
    from tidemill.stores.live import LiveView


@command("strategies.language", "GET", "/strategies/language", scope="data", model=schema.StrategyLanguage)
async def language(request: Request) -> Response:
    """What strategies are written with, for editors: names, members, indicators with their parameters."""
    return answer.json(await platform.of(request).run(_language))


@command("strategies.template", "GET", "/strategies/template", scope="data", model=schema.StrategyTemplate)
async def template(
    request: Request,
    name: Annotated[schema.StrategyName, Query()],
    kind: Annotated[Literal["signal", "event"], Query()] = "signal",
) -> Response:
    """A text to begin with, which runs as it is."""
    from tidemill.strategies import template as texts

    return answer.json({"name": name, "code": texts.text(name, event=kind == "event")})


@command(
    "strategies.diagnose", "POST", "/strategies/diagnose", scope="data", effect="write",
    model=schema.StrategyDiagnosis,
)  # fmt: skip
async def diagnose(request: Request, body: Annotated[schema.StrategyText, Body()]) -> Response:
    """Every mark that an editor makes in a text, without keeping or running it."""
    return answer.json(await platform.of(request).run(_diagnosed, body.code))


@command(
    "strategies.check", "POST", "/strategies/check", scope="data", effect="write", model=schema.StrategyCheck
)
async def check(
    request: Request, body: Annotated[schema.StrategyCheckAsk, Body()], time: instant.As = "ns"
) -> Response:
    """Whether a text decides by what it is told alone: run in the sandbox on the same, on fewer and on moved
    bars. Takes seconds."""
    return answer.json(await platform.of(request).run(_checked, platform.of(request), body, time))


# ── in worker threads, where what they import may take its time ───────────────────────────────────


def _language() -> dict[str, Any]:
    from tidemill.strategies.language import language as found

    return asdict(found())


def _diagnosed(code: str) -> dict[str, Any]:
    from tidemill.strategies import description, diagnosis

    about = description.read(code)
    return {
        "about": {
            "class_name": about.class_name,
            "kind": about.kind,
            "title": about.title,
            "description": about.text,
            "author": about.author,
            "params": list(about.params),
            "faults": [asdict(one) for one in about.faults],
        },
        "problems": [asdict(one) for one in diagnosis.diagnose(code)],
    }


def _checked(
    service: platform.Platform, asked: schema.StrategyCheckAsk, time: instant.TimeFormat
) -> dict[str, Any]:
    from tidemill.research import checked, history
    from tidemill.strategies import description

    about = description.read(asked.code)
    if (refused := description.refusal(about, asked.name)) is not None:
        raise refused
    params = about.values(asked.parameters)
    over: history.History | None = None
    if asked.instruments:
        names = [service.view.resolve(one) for one in asked.instruments]

        def read(view: LiveView) -> history.History:
            return history.newest(view, names, asked.interval, asked.bars)

        over = service.view.call(read)
    found = checked.check(asked.code, asked.name, params, asked.bars, over)
    return {
        **asdict(found),
        "findings": [{**asdict(one), "ts": instant.show(one.ts, time)} for one in found.findings],
    }
