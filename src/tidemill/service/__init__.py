"""REST, application events and the web app, on one port of this machine.

`main` is `tidemill serve`. Imports point downward only: `cli` → `service` → `metadata`, `stores` → `model`.
"""

from __future__ import annotations

import signal
import sys

# What sysexits.h calls EX_CONFIG: the start was refused, starting again will not help.
EXIT_CONFIG = 78


def main(argv: list[str]) -> int:
    """Serves until SIGTERM, SIGINT or, with `--supervised`, the end of stdin. Returns the exit code."""
    # Until the server drains: whoever is told to go before there is anything to drain just goes.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    from tidemill.errors import ConfigError, TidemillError
    from tidemill.log import Log

    try:
        from tidemill.service import config

        settings = config.parse(argv)
        from tidemill.service import server

        return server.serve(settings)
    except TidemillError as error:
        Log("service").error(error.message, error=error.as_dict())
        return EXIT_CONFIG if isinstance(error, ConfigError) else error.exit_code
