from __future__ import annotations

import pytest

from tidemill import sandbox


@pytest.fixture(scope="session")
def isolated() -> sandbox.Isolation:
    """What this machine isolates with; skipped where it cannot."""
    found = sandbox.available()
    if not found.ok:
        pytest.skip(f"no sandbox here: {'; '.join(found.reasons)}")
    return found


@pytest.fixture
def grouped(isolated: sandbox.Isolation) -> sandbox.Isolation:
    """The same, with a control group: what bounds memory and processes together."""
    if not any(one.startswith("control group") for one in isolated.holds):
        pytest.skip(f"no control group here: {'; '.join(isolated.reasons)}")
    return isolated
