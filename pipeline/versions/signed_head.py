"""The signed head of several logs: how long each is, the digest of its last line, when, and by which key.

One line of JSON. Whoever keeps such a line can tell later, with the public key alone, whether a log was cut or
written anew since: what it says must be the beginning of what the logs say then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import rfc8785

from pipeline.runtime.errors import VerificationFailed, one_line
from pipeline.runtime.plain import JsonObject
from pipeline.runtime.text import parse_json
from pipeline.versions.hash_chain import Head, beginning, head_of
from pipeline.versions.signing import FileDifference, Signer


@dataclass(frozen=True)
class SignedHead:
    """The heads of logs by file name. `key` is the sha256 of the public key, empty where a Sigstore identity signs."""

    at: str
    key: str
    logs: dict[str, Head]
    signature: str

    @property
    def entries(self) -> int:
        """How many acts all logs hold: it only ever grows."""
        return sum(head.length for head in self.logs.values())

    def to_line(self) -> str:
        """Canonical JSON (RFC 8785), without a newline."""
        return rfc8785.dumps({**self._claims(), "signature": self.signature}).decode("utf-8")

    def check(self, signer: Signer) -> None:
        """Hold the signature against the key.

        Raises:
            VerificationFailed: it is not by this key or identity.
        """
        signer.check_text(_text(self._claims()), self.signature)

    def differences(self, texts: Mapping[str, str]) -> list[FileDifference]:
        """The logs of which the head is not a beginning: `cut` where they are shorter, else `changed`."""
        found = []
        for name, head in sorted(self.logs.items()):
            text = texts.get(name, "")
            actual = beginning(text, head.length)
            if actual != head:
                state = "cut" if actual.length < head.length else "changed"
                found.append(FileDifference(name, state, described(head), described(actual)))
        return found

    def _claims(self) -> JsonObject:
        return {
            "at": self.at,
            "entries": self.entries,
            "key": self.key,
            "logs": {name: asdict(head) for name, head in self.logs.items()},
        }


def sign_head(texts: Mapping[str, str], at: str, signer: Signer) -> SignedHead:
    """The head of logs as they are, signed.

    Raises:
        InputError: the key is not there.
    """
    unsigned = SignedHead(at, signer.fingerprint(), {name: head_of(text) for name, text in texts.items() if text}, "")
    return SignedHead(at, unsigned.key, unsigned.logs, signer.sign_text(_text(unsigned._claims())))


def parse_head(line: str, where: str) -> SignedHead:
    """A head from its line.

    Raises:
        VerificationFailed: it is none; names where it stood.
    """
    try:
        content = parse_json(line)
        logs = {str(name): Head(int(head["length"]), str(head["sha256"])) for name, head in content["logs"].items()}
        head = SignedHead(str(content["at"]), str(content["key"]), logs, str(content["signature"]))
        if head.to_line() != line.strip():
            raise ValueError("it says more, or less, than a head does")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise VerificationFailed(f"{where} is no signed head ({one_line(error, 100)}); restore it") from error
    return head


def described(head: Head) -> str:
    return f"{head.length} entries ending {head.sha256[:12]}"


def _text(claims: JsonObject) -> str:
    return rfc8785.dumps(claims).decode("utf-8")
