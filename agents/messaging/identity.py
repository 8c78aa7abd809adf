"""Who may change rules: Ed25519 keys in files of their owner's, public keys in a plain trust file, signatures of bytes.

    operator = Identity.generate(); operator.save(Path("operator.key"))          # readable by its owner alone
    signature = operator.sign(CONTEXT, data)
    Trust.read(Path("trust")).demand("operator", CONTEXT, data, signature)

A trust file has one line for each name, `NAME PUBLIC-KEY`, the key as 64 hexadecimal digits; `#` begins a comment.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agents.messaging.errors import KeyFileError, SignatureError

HEAD: Final = "localist-ed25519-secret-1"
"""First word of a key file; the second is the secret as 64 hexadecimal digits."""
MAX_TRUST_BYTES: Final = 1_000_000

_HEX = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9-]{1,32}")


@dataclass(frozen=True, slots=True)
class Identity:
    """A key pair; its text shows the public half only."""

    _secret: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """A new random one."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def of_seed(cls, seed: bytes) -> Self:
        """The one of 32 bytes; as secret as they are."""
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a key file.

        Raises:
            KeyFileError: none there, another file, or one that others than its owner can read.
        """
        try:
            with path.open("rb") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                words = file.read(256).decode(errors="replace").split()
        except OSError as error:
            raise KeyFileError(f"expected a key file at `{path}`, got {_reason(error)}; correct the path") from error
        if mode & 0o077:
            raise KeyFileError(
                f"expected a key file that its owner alone can read, got mode {mode:o}; chmod 600 `{path}`"
            )
        if len(words) != 2 or words[0] != HEAD or not _HEX.fullmatch(words[1]):
            raise KeyFileError(f"expected a key file, got another file at `{path}`; make one with `localist rules key`")
        return cls.of_seed(bytes.fromhex(words[1]))

    def save(self, path: Path) -> None:
        """Write a new key file, readable and writable by its owner alone.

        Raises:
            KeyFileError: a file is there already, or it cannot be written.
        """
        text = f"{HEAD} {self._secret.private_bytes_raw().hex()}\n"
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="ascii") as file:
                os.fchmod(file.fileno(), 0o600)  # whatever the umask says
                file.write(text)
        except OSError as error:
            raise KeyFileError(
                f"expected to write a new key file `{path}`, got {_reason(error)}; choose another name"
            ) from error

    @property
    def public(self) -> str:
        """The public key, 64 hexadecimal digits."""
        return self._secret.public_key().public_bytes_raw().hex()

    def sign(self, context: str, data: bytes) -> str:
        """The signature of bytes for one use, 128 hexadecimal digits; the same bytes give the same one."""
        return self._secret.sign(_framed(context, data)).hex()


@dataclass(frozen=True, slots=True)
class Trust:
    """Names and the public keys that speak for them."""

    keys: Mapping[str, str]

    def __post_init__(self) -> None:
        """Refuse what is no name or no key."""
        for name, key in self.keys.items():
            if not _NAME.fullmatch(name) or not _HEX.fullmatch(key):
                raise KeyFileError(f"expected a name and 64 hexadecimal digits, got `{name:.40}` and `{key:.80}`")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a trust file.

        Raises:
            KeyFileError: none there, a line that is no name and key, or a name twice.
        """
        try:
            with path.open("rb") as file:
                text = file.read(MAX_TRUST_BYTES).decode()
        except (OSError, UnicodeDecodeError) as error:
            reason = _reason(error) if isinstance(error, OSError) else "bytes that are no text"
            raise KeyFileError(f"expected a trust file at `{path}`, got {reason}; correct the path") from error
        keys: dict[str, str] = {}
        for number, line in enumerate(text.splitlines(), start=1):
            words = line.partition("#")[0].split()
            if words and (len(words) != 2 or words[0] in keys):
                raise KeyFileError(f"{path}, line {number}: expected a new name and its key, got `{line:.60}`")
            keys.update([(words[0], words[1])] if words else [])
        return cls(keys)

    def demand(self, name: str, context: str, data: bytes, signature: str) -> None:
        """Refuse bytes that the named one did not sign for this use.

        Raises:
            SignatureError: nobody of that name is trusted, or the signature is not of these bytes, this use, this key.
        """
        key = self.keys.get(name)
        if key is None:
            raise SignatureError(f"expected a signature of {', '.join(self.keys) or 'nobody'}, got one of `{name:.40}`")
        try:
            Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(
                bytes.fromhex(signature), _framed(context, data)
            )
        except (InvalidSignature, ValueError) as error:
            raise SignatureError(f"expected a signature of `{name}`, got one that is not of these bytes") from error


def _framed(context: str, data: bytes) -> bytes:
    """The bytes that are signed: the use they are signed for, with its length before it, then the data."""
    use = context.encode()
    return len(use).to_bytes(2, "big") + use + data


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
