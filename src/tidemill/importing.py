"""Files from Python: `td.import_file`, on this disk or over REST. Nothing is decoded in this process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from tidemill import errors

_LOOK_S = 0.2
_PIECE_BYTES = 1 << 20


def here(
    home: Path,
    file: str | os.PathLike[str],
    recipe: str | None,
    member: str | None,
    strict: bool,
    dry_run: bool,
    save_recipe: str | None,
    changes: Mapping[str, Any],
) -> dict[str, Any]:
    """`tidemill data import` on the home of this disk; its error is raised."""
    words = [sys.executable, "-m", "tidemill", "data", "import", "--json", "--home", str(home)]
    for option, value in (("--recipe", recipe), ("--member", member), ("--save-recipe", save_recipe)):
        words += [option, value] if value is not None else []
    words += ["--strict"] * strict + ["--dry-run"] * dry_run
    for name, value in changes.items():
        words += ["--set", f"{name}={json.dumps(value)}"]
    ended = subprocess.run([*words, "--", os.fspath(file)], capture_output=True, text=True, check=False)
    if ended.returncode:
        raise _error(ended.stderr)
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def _error(said: str) -> errors.TidemillError:
    for line in reversed(said.splitlines()):
        if line.startswith('{"error"'):
            return errors.from_dict(json.loads(line)["error"])
    return errors.InternalError("internal", f"the import ended without a reason: {said[-500:]}")


def there(
    url: str,
    token: str,
    file: str | os.PathLike[str],
    recipe: str | None,
    member: str | None,
    strict: bool,
    dry_run: bool,
    save_recipe: str | None,
    changes: Mapping[str, Any],
) -> dict[str, Any]:
    """The same on a platform behind a URL: the file is sent, and its job waited for."""
    import httpx

    headers = {"Authorization": f"Bearer {token}"} if token else {}
    path = Path(file)
    with httpx.Client(base_url=f"{url}/api/v1", headers=headers, timeout=120.0) as client:

        def asked(method: str, where: str, **rest: Any) -> Any:
            try:
                answer = client.request(method, where, **rest)
                said = answer.json()
            except (httpx.HTTPError, ValueError) as error:
                raise errors.UpstreamError(
                    "platform_unreachable", f"{url} did not answer: {error}", hint="is `tidemill up` running?"
                ) from error
            if answer.status_code >= 400:
                raise errors.from_dict(said)
            return said

        try:
            opened = path.open("rb")
        except OSError as error:
            raise errors.NotFoundError(
                "file_unknown", f"{path} cannot be opened: {error.strerror}", hint="name a file you can read"
            ) from error
        with opened:
            sent = asked(
                "POST", "/data/uploads", params={"name": str(path.absolute())[-300:]}, content=_pieces(opened)
            )
        body = {"upload": sent["upload"], "recipe": recipe, "member": member, "changes": dict(changes)}
        if dry_run:
            seen: dict[str, Any] = asked("POST", "/data/imports/preview", json=body)
            return seen
        job = asked("POST", "/data/imports", json={**body, "strict": strict, "save_recipe": save_recipe})
        while job["ended"] is None:
            time.sleep(_LOOK_S)
            job = asked("GET", f"/jobs/{job['id']}")
    if job["error"] is not None:
        raise errors.from_dict(job["error"])
    if job["state"] != "done":
        raise errors.CancelledError("job_cancelled", f"the import of {path.name} is {job['state']}")
    return {**job["result"], "job": job["id"]}


def _pieces(opened: IO[bytes]) -> Any:
    while piece := opened.read(_PIECE_BYTES):
        yield piece
