"""The one command, `tidemill`.

Native parts are started before anything heavy is imported, so that a collector is up in milliseconds.
"""

from __future__ import annotations

import sys

from tidemill.cli import lean

NATIVE = ("collector", "relay", "bridge", "sim")


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns its exit code, which follows the error table of docs/api.md."""
    if argv is None and sys.argv[1:2] != ["lab"]:  # a notebook's code may want it
        lean.without_pandas(sys.argv[1:])
    words = sys.argv[1:] if argv is None else argv
    match words:
        case ["--version" | "-V" | "version", *_]:
            from tidemill import __version__

            print(f"tidemill {__version__}")
            return 0
        case [name, *_] if name in NATIVE:
            if name == "collector":
                _give_keys(words)
            from tidemill import _native

            return _native.run(words)
        case ["recorder", *rest]:
            from tidemill.recorder import main as recorder

            return recorder(rest)
        case ["publisher", *rest]:
            from tidemill.bus import main as publisher

            return publisher(rest)
        case ["uploader", *rest]:
            from tidemill.recorder.uploader import main as uploader

            return uploader(rest)
        case ["serve", *rest]:
            from tidemill.service import main as serve

            return serve(rest)
        case ["worker", *rest]:
            from tidemill.jobs.worker import main as worker

            return worker(rest)
        case ["job"]:
            from tidemill.jobs.child import main as child

            return child()
        case _:
            from tidemill.cli.app import run

            return run(words)


def _give_keys(words: list[str]) -> None:
    """Puts what the system's keyring has for the seller whose collector this is into the environment of this
    process, where the native part looks for it. Costs nothing for others."""
    from tidemill.model.collector import SELLERS, SIM_PREFIX

    sellers = [SELLERS[word] for word in words[1:] if word in SELLERS]
    if not sellers or any(word.removeprefix("--name=").startswith(SIM_PREFIX) for word in words):
        return
    from tidemill.providers import credential, load

    credential.give(load(sellers[0]))
