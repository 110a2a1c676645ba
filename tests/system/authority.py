"""A certificate authority for tests, made with the openssl command."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
CONFIG = """[ca]
default_ca = here
[here]
database = index.txt
serial = serial
new_certs_dir = .
certificate = ca.pem
private_key = ca.key
default_md = sha256
default_days = 3
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
"""


class Authority:
    """Keeps its files in `folder`, by whose name it goes; `certificate` is what a client must trust."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self.certificate = folder / "ca.pem"
        (folder / "ca.cnf").write_text(CONFIG)
        (folder / "index.txt").touch()
        (folder / "serial").write_text("01\n")
        self._run("req", "-x509", *KEY, "-subj", f"/CN={folder.name}", "-days", "3",
                  "-addext", "basicConstraints=critical,CA:TRUE",
                  "-keyout", "ca.key", "-out", "ca.pem")  # fmt: skip

    def server(
        self, name: str, host: str, *, expired: bool = False, stranger: bool = False
    ) -> ssl.SSLContext:
        """What a server for `host` shows: a good certificate, one of the past, or one it signed itself."""
        key, request, certificate = f"{name}.key", f"{name}.csr", f"{name}.pem"
        names = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{host}", "-keyout", key]
        if stranger:
            self._run("req", "-x509", *KEY, *names, "-days", "3", "-out", certificate)
        else:
            past = ["-startdate", "20200101000000Z", "-enddate", "20200201000000Z"] if expired else []
            self._run("req", *KEY, *names, "-out", request)
            self._run(
                "ca", "-batch", "-config", "ca.cnf", "-notext", *past, "-in", request, "-out", certificate
            )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._folder / certificate, self._folder / key)
        return context

    def _run(self, *words: str) -> None:
        done = subprocess.run(["openssl", *words], cwd=self._folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
