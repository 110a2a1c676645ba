"""The API document and the command registry: committed, complete, and equal to what the service has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fastapi.routing import APIRoute, APIWebSocketRoute

from tests.service.conftest import Service
from tidemill.home import Home
from tidemill.service import openapi, schema
from tidemill.service.app import routes
from tidemill.service.command import REGISTRY, command
from tidemill.service.config import Config

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"


def test_the_committed_document_is_what_the_service_says() -> None:
    assert COMMITTED.read_text() == openapi.text(), "run `make gen`"


def test_the_served_document_is_the_same(service: Service) -> None:
    assert service.client.get("/api/openapi.json").json() == json.loads(COMMITTED.read_text())


def test_every_route_is_declared_in_the_registry() -> None:
    app = routes(Config(Home(Path("/"))))
    declared = {(c.method, c.route) for c in REGISTRY.values()}
    for route in app.routes:
        if isinstance(route, APIRoute):
            assert {(method, route.path) for method in route.methods or ()} <= declared
        elif isinstance(route, APIWebSocketRoute):
            assert ("WS", route.path) in declared or route.path == "/{path:path}"
        else:
            assert getattr(route, "path", None) == "/{path:path}"
    assert len([r for r in app.routes if isinstance(r, APIRoute)]) == len(
        [c for c in REGISTRY.values() if c.method != "WS"]
    )


def test_a_read_is_a_get_and_a_change_is_not() -> None:
    for entry in REGISTRY.values():
        assert entry.summary, entry.id
        if entry.effect != "read":
            assert entry.method in ("POST", "PUT", "PATCH", "DELETE"), entry.id


def test_two_routes_of_one_name_are_refused() -> None:
    routes(Config(Home(Path("/"))))
    with pytest.raises(ValueError, match="config"):
        command("config", "GET", "/other", scope="data")(lambda: None)


def test_the_registry_is_served(service: Service) -> None:
    items = service.client.get("/api/v1/commands").json()["items"]
    assert {item["id"] for item in items} == set(REGISTRY)
    assert "/stream" in {item["path"] for item in items}
    schema.Commands.model_validate({"items": items})


def test_operations_are_named_for_generated_clients() -> None:
    document = json.loads(COMMITTED.read_text())
    names = [
        (operation["operationId"], operation["x-scope"], operation["x-effect"])
        for operations in document["paths"].values()
        for operation in operations.values()
    ]
    assert len({name for name, _, _ in names}) == len(names)
    assert all(name in REGISTRY for name, _, _ in names)


@pytest.mark.parametrize(
    "path",
    [
        "config",
        "health",
        "gaps",
        "jobs",
        "session",
        "commands",
        "events",
        "collection/status",
        "instruments",
        "datasets",
    ],
)
def test_answers_have_the_shapes_they_promise(service: Service, path: str) -> None:
    models = {
        "config": schema.Configuration, "health": schema.Health, "gaps": schema.Gaps, "jobs": schema.Jobs,
        "session": schema.Session, "commands": schema.Commands, "events": schema.Events,
        "collection/status": schema.CollectionStatus, "instruments": schema.Instruments,
        "datasets": schema.Datasets,
    }  # fmt: skip
    service.client.post("/api/v1/collection/start", json={"venue": "sim-kraken"})
    models[path].model_validate_json(service.client.get(f"/api/v1/{path}").content, strict=False)


def test_the_page_needs_nothing_from_elsewhere(service: Service) -> None:
    page = service.client.get("/api/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "<script" not in page.text
    assert "/api/v1/data/{symbol}/bars" in page.text
    assert 'id="not_found"' in page.text
    assert "https://" not in page.text
