"""An S3 server on a port of loopback: moto, which keeps everything in its memory."""

from __future__ import annotations

import shutil
import sys
import tempfile
import urllib.request
from pathlib import Path

from tests.servers.process import Process, free_port


class S3:
    """One server. `environment` is what its clients need."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tidemill-s3-"))
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.environment = {
            "AWS_ACCESS_KEY_ID": "tidemill",
            "AWS_SECRET_ACCESS_KEY": "tidemill-secret",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self.process = Process(
            [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(self.port)],
            self.folder / "log",
            self._ready,
        )

    def __enter__(self) -> S3:
        self.process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def bucket(self, name: str) -> str:
        """Makes a bucket and returns its address, `s3://name`."""
        request = urllib.request.Request(f"{self.endpoint}/{name}", method="PUT")
        urllib.request.urlopen(request, timeout=10).close()
        return f"s3://{name}"

    def _ready(self) -> bool:
        try:
            urllib.request.urlopen(self.endpoint, timeout=2).close()
        except OSError:
            return False
        return True
