"""Time-stamps of a service (RFC 3161), which OpenSSL plays here."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from pipeline.runtime.errors import InputError, SwitchtenderError, VerificationFailed
from pipeline.versions.timestamp import check_timestamp, timestamp

SETTINGS = """
[tsa]
default_tsa = here
[here]
serial = {place}/serial
signer_cert = {place}/tsa.pem
signer_key = {place}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
ess_cert_id_alg = sha256
[extensions]
extendedKeyUsage = critical, timeStamping
"""


def openssl(*arguments: str, stdin: bytes = b"") -> bytes:
    return subprocess.run(["openssl", *arguments], input=stdin, capture_output=True, check=True).stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root certificate, and a service's own under it."""
    place = tmp_path_factory.mktemp("tsa")
    (place / "settings").write_text(SETTINGS.format(place=place))
    (place / "serial").write_text("01\n")
    for name in ("root", "other"):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-days", "30",
                "-keyout", f"{place}/{name}.key", "-out", f"{place}/{name}.pem")  # fmt: skip
    asked = openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=tsa", "-keyout", f"{place}/tsa.key")
    openssl("x509", "-req", "-CA", f"{place}/root.pem", "-CAkey", f"{place}/root.key", "-CAcreateserial", "-days", "20",
            "-extfile", f"{place}/settings", "-extensions", "extensions", "-out", f"{place}/tsa.pem",
            stdin=asked)  # fmt: skip
    return place


@pytest.fixture
def service(place: Path) -> Iterator[str]:
    class Service(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers["Content-Length"]))
            (place / "asked").write_bytes(asked)
            given = b"no time-stamp"
            if self.path == "/stamp":
                given = openssl("ts", "-reply", "-config", f"{place}/settings", "-queryfile", f"{place}/asked")
            self.send_response(200)
            self.end_headers()
            self.wfile.write(given)

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_time_stamp_holds_for_the_bytes_it_was_asked_for_and_under_the_services_root(
    service: str, place: Path
) -> None:
    stamp = timestamp(f"{service}/stamp", b"a signed head")
    assert b"a signed head" not in (place / "asked").read_bytes()
    check_timestamp(stamp, b"a signed head", place / "root.pem")
    for content, root in ((b"another head", "root"), (b"a signed head", "other")):
        with pytest.raises(VerificationFailed, match="does not hold"):
            check_timestamp(stamp, content, place / f"{root}.pem")
    with pytest.raises(VerificationFailed, match="names no certificate"):
        check_timestamp(stamp, b"a signed head", None)


def test_what_gives_no_time_stamp_is_one_line(service: str) -> None:
    with pytest.raises(SwitchtenderError, match="gave no time-stamp"):
        timestamp(f"{service}/other", b"a head")
    with pytest.raises(SwitchtenderError, match="gave no time-stamp"):
        timestamp("http://127.0.0.1:9/", b"a head")
    with pytest.raises(InputError, match="https"):
        timestamp("file:///etc/hostname", b"a head")
