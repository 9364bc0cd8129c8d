"""Time-stamps by a service that others trust (RFC 3161): that a text was there at a time, whatever our clock says."""

from __future__ import annotations

import urllib.request
from pathlib import Path

from pipeline.runtime.errors import InputError, SwitchtenderError, VerificationFailed, one_line

_TIMEOUT = 20.0
"""Seconds to wait for the service."""


def timestamp(url: str, content: bytes) -> bytes:
    """The service's signed answer (DER) on the SHA-512 of some bytes, which themselves are not sent.

    Raises:
        InputError: the address is none.
        SwitchtenderError: the service cannot be reached, or its answer is none.
    """
    from rfc3161_client import TimestampRequestBuilder, decode_timestamp_response

    if not url.startswith(("http://", "https://")):
        raise InputError(f"params.yaml: witness.timestamp_url is '{url}'; give one that begins with https://")
    asked = TimestampRequestBuilder().data(content).build().as_bytes()
    request = urllib.request.Request(url, asked, {"Content-Type": "application/timestamp-query"})  # noqa: S310 (http(s) only)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310 (http(s) only)
            given: bytes = answer.read(1_000_000)
        decode_timestamp_response(given)
    except (OSError, ValueError) as error:
        raise SwitchtenderError(
            f"the time-stamping service {url} gave no time-stamp ({one_line(error, 120)}); see params.yaml: witness"
        ) from error
    return given


def check_timestamp(stamp: bytes, content: bytes, root: Path | None) -> None:
    """Hold a time-stamp against the bytes and the service's root certificate (PEM).

    Raises:
        VerificationFailed: it is of other bytes or by somebody else, or no root certificate is named.
    """
    from cryptography.x509 import load_pem_x509_certificate
    from rfc3161_client import VerifierBuilder, decode_timestamp_response
    from rfc3161_client.errors import VerificationError

    if root is None:
        raise VerificationFailed("params.yaml: witness.timestamp_root names no certificate to check it by")
    try:
        certificate = load_pem_x509_certificate(root.read_bytes())
        verifier = VerifierBuilder().add_root_certificate(certificate).build()
        verifier.verify_message(decode_timestamp_response(stamp), content)
    except (VerificationError, OSError, ValueError) as error:
        raise VerificationFailed(f"the time-stamp does not hold ({one_line(error, 120)})") from error
