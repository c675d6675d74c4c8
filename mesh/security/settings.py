"""Settings with the keys of call tokens."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import SecretStr, model_validator

from mesh.security import keys
from mesh.settings import MeshSettings


class CallTokenMinting(MeshSettings):
    """Settings of processes that call agents. They do not start without a key that mints call tokens."""

    call_token_private_key: SecretStr = SecretStr("")
    """An Ed25519 private key as PEM."""
    call_token_private_key_file: Path | None = None
    """A file with that key, instead."""

    @cached_property
    def call_token_signing_key(self) -> Ed25519PrivateKey:
        """The key from either setting."""
        name = "CALL_TOKEN_PRIVATE_KEY"
        text = _text_of(name, self.call_token_private_key.get_secret_value(), self.call_token_private_key_file)
        try:
            return keys.read_private(text)
        except ValueError as error:
            raise ValueError(f"{name} {error}") from None

    @model_validator(mode="after")
    def _can_mint(self) -> "CallTokenMinting":
        _ = self.call_token_signing_key
        return self


class CallTokenChecking(MeshSettings):
    """Settings of agent hosts. They do not start without a key that verifies call tokens."""

    call_token_public_key: str = ""
    """One or more Ed25519 public keys as PEM; during a rotation, the old and the new key."""
    call_token_public_key_file: Path | None = None
    """A file with these keys, instead."""

    @cached_property
    def call_token_keys(self) -> Sequence[Ed25519PublicKey]:
        """The keys from either setting."""
        name = "CALL_TOKEN_PUBLIC_KEY"
        text = _text_of(name, self.call_token_public_key, self.call_token_public_key_file)
        try:
            return keys.read_public(text)
        except ValueError as error:
            raise ValueError(f"{name} {error}") from None

    @model_validator(mode="after")
    def _can_check(self) -> "CallTokenChecking":
        _ = self.call_token_keys
        return self


def _text_of(name: str, text: str, file: Path | None) -> str:
    """The text of a setting, or of the file that it names. Raises ValueError unless exactly one is set."""
    if bool(text) == bool(file):
        given = "are both set; set only one" if text else f"is not set, and neither is {name}_FILE; `make up` creates a pair of keys"
        raise ValueError(f"{name} {'and ' + name + '_FILE ' if text else ''}{given}")
    if file is None:
        return text
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not a text file"
        raise ValueError(f"{name}_FILE cannot be read: {why}") from None
