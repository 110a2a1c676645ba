"""The web app: files, pages by history fallback, and never a page where an interface is meant."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.service.conftest import Service
from tidemill.home import Home
from tidemill.service.app import build
from tidemill.service.compress import accepts_gzip
from tidemill.service.config import Config
from tidemill.service.platform import Platform

HTML = {"Accept": "text/html,application/xhtml+xml"}


@pytest.fixture
def web(tmp_path: Path) -> Path:
    root = tmp_path / "web"
    (root / "assets").mkdir(parents=True)
    (root / "index.html").write_text("<!doctype html><title>app</title>")
    (root / "assets" / "index-abc123.js").write_text("export const x = 1;\n" * 200)
    (root / "favicon.svg").write_text("<svg/>")
    (tmp_path / "outside.txt").write_text("OUTSIDE")
    (root / "link.txt").symlink_to(tmp_path / "outside.txt")
    return root


@pytest.fixture
def app(home: Home, web: Path) -> TestClient:
    return TestClient(build(Platform(Config(home, web=web))), base_url="http://localhost")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/data",
        "/data/BTC-USD.kraken:trades",
        "/charts/main",
        "/admin/users",
        "/backtests/compare",
        "/index.html",
    ],
)
def test_every_page_is_the_app(app: TestClient, path: str) -> None:
    answer = app.get(path, headers=HTML)
    assert answer.status_code == 200
    assert "<title>app</title>" in answer.text
    assert answer.headers["cache-control"] == "no-cache"
    tag = answer.headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        assert app.get(path, headers={**HTML, "If-None-Match": known}).status_code == 304
    for other in ('"other"', tag.strip('"'), ""):
        assert app.get(path, headers={**HTML, "If-None-Match": other}).status_code == 200


def test_hashed_files_may_be_kept_for_good(app: TestClient) -> None:
    answer = app.get("/assets/index-abc123.js", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.text.startswith("export const x")
    plain = app.get("/assets/index-abc123.js", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.text == answer.text
    assert app.head("/assets/index-abc123.js").status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/assets/none.js", "/none.css", "/assets/", "/../outside.txt", "/%2e%2e/outside.txt", "/link.txt",
     "/assets/..%2f..%2foutside.txt", "//outside.txt", "/..%5coutside.txt", "/outside.txt%00.html",
     "/assets/%00"],
)  # fmt: skip
def test_a_file_that_is_not_there_is_a_404_even_for_a_browser(app: TestClient, path: str) -> None:
    answer = app.get(path, headers=HTML)
    assert answer.status_code in (404, 200)
    assert "OUTSIDE" not in answer.text
    if answer.status_code == 200:
        assert "<title>app</title>" in answer.text


@pytest.mark.parametrize(
    "path",
    ["/api", "/api/", "/api/v1", "/api/v1/nothing", "/api/v2/config", "/api/v1/data/x", "/metrics/x", "/ws/x",
     "/stream/x", "/candles/x", "/historical/x", "/utils", "/utils/session", "/strategies/x",
     "/optimize/x/y", "/trade"],
)  # fmt: skip
def test_an_interface_is_never_a_page(app: TestClient, home: Home, path: str) -> None:
    headers = {**HTML, "Authorization": f"Bearer {home.read_token()}"}
    answer = app.get(path, headers=headers)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["code"] == "path_unknown"
    assert app.post(path, headers=headers).status_code == 404


def test_a_program_gets_json_where_a_browser_gets_a_page(app: TestClient) -> None:
    answer = app.get("/charts", headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (404, "path_unknown")


def test_pages_take_no_changes(app: TestClient) -> None:
    answer = app.post("/charts")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_unknown")


def test_without_a_build_a_page_says_what_to_do(home: Home, tmp_path: Path) -> None:
    app = TestClient(build(Platform(Config(home, web=tmp_path / "none"))), base_url="http://localhost")
    answer = app.get("/", headers=HTML)
    assert answer.status_code == 503
    assert "make build" in answer.text


def test_a_new_build_is_served_without_a_restart(app: TestClient, web: Path) -> None:
    assert "app" in app.get("/", headers=HTML).text
    (web / "assets" / "index-new.js").write_text("new")
    (web / "index.html").write_text("<title>second</title>")
    import os

    os.utime(web / "index.html", ns=(1, 1))
    assert "second" in app.get("/", headers=HTML).text
    assert app.get("/assets/index-new.js").text == "new"


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("gzip", True), ("deflate, GZIP;q=0.5", True), ("*", True), ("br;q=1, *;q=0.1", True),
        ("", False), ("identity", False), ("gzip;q=0", False), ("gzip; q=0.000", False), ("*;q=0", False),
        ("x-gzip", True), ("gzip;q=0, *", False), ("gzippy", False),
    ],
)  # fmt: skip
def test_gzip_is_for_those_who_take_it(header: str, taken: bool) -> None:
    assert accepts_gzip(header.encode()) is taken


def test_answers_are_compressed_where_it_helps(service: Service) -> None:
    with service.client.stream("GET", "/api/v1/commands", headers={"Accept-Encoding": "gzip"}) as answer:
        raw = b"".join(answer.iter_raw())
        assert answer.headers["content-encoding"] == "gzip"
    assert b'"items"' in gzip.decompress(raw)
    plain = service.client.get("/api/v1/commands", headers={"Accept-Encoding": "identity"})
    assert "Accept-Encoding" in plain.headers["vary"]
    small = service.client.get("/api/v1/health/live", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in small.headers
