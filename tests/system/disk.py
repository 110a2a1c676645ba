"""A small disk of its own for a test: an ext4 file system in a file. Making one takes root."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

needs_disk = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("mkfs.ext4") or not Path("/dev/loop-control").exists(),
    reason="a disk of its own needs root, mkfs.ext4 and loop devices",
)


class Disk:
    """Mounted at `path`."""

    def __init__(self, image: Path, path: Path) -> None:
        self._image = image
        self.path = path

    def mount(self, *options: str) -> None:
        _run("mount", "-o", ",".join(["loop", "errors=remount-ro", *options]), self._image, self.path)

    def unmount(self) -> None:
        _run("umount", self.path)

    def fill(self) -> Path:
        """Takes every free byte, what has become free since the last time too; returns the file to remove."""
        ballast = self.path / "ballast"
        with ballast.open("ab", buffering=0) as file:
            for size in (1 << 20, 4 << 10):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(b"\0" * size)
            os.fsync(file.fileno())
        return ballast

    def fail(self) -> None:
        """What a damaged disk does to ext4: from now on it can be read only."""
        device = _run("findmnt", "-n", "-o", "SOURCE", self.path).strip()
        Path(f"/sys/fs/ext4/{Path(device).name}/trigger_fs_error").write_text("1")


@contextlib.contextmanager
def disk(folder: Path, mib: int) -> Iterator[Disk]:
    """A mounted disk, empty but for its root folder, that goes with the block."""
    image, path = folder / "disk.img", folder / "disk"
    with image.open("wb") as file:
        file.truncate(mib << 20)
    _run("mkfs.ext4", "-q", "-m", "0", "-F", image)
    path.mkdir()
    made = Disk(image, path)
    made.mount()
    try:
        yield made
    finally:
        subprocess.run(["umount", "-l", path], capture_output=True)
        image.unlink()


def _run(*words: str | Path) -> str:
    done = subprocess.run(list(words), capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(map(str, words))}: {done.stderr}"
    return done.stdout
