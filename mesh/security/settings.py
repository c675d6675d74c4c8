"""The settings by which processes of the mesh know one another."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import SecretStr, model_validator

from mesh.security import keys
from mesh.settings import MeshSettings


class CallTokenMinting(MeshSettings):
    """Of a process that calls agents. It does not start without a key to mint call tokens with."""

    call_token_private_key: SecretStr = SecretStr("")
    """An Ed25519 private key as PEM."""
    call_token_private_key_file: Path | None = None
    """A file that holds it, instead."""

    @cached_property
    def call_token_signing_key(self) -> Ed25519PrivateKey:
        """The key behind either setting."""
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
    """Of a host of agents. It does not start without a key to check call tokens with."""

    call_token_public_key: str = ""
    """One or more Ed25519 public keys as PEM: during a rotation the old one and the new."""
    call_token_public_key_file: Path | None = None
    """A file that holds them, instead."""

    @cached_property
    def call_token_keys(self) -> Sequence[Ed25519PublicKey]:
        """The keys behind either setting."""
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
    """The text that a setting holds itself or in a file; ValueError unless it is in one of them."""
    if bool(text) == bool(file):
        given = "are both set: leave one out" if text else f"is not set, nor is {name}_FILE; `make up` makes a pair of keys by itself"
        raise ValueError(f"{name} {'and ' + name + '_FILE ' if text else ''}{given}")
    if file is None:
        return text
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ValueError(f"{name}_FILE cannot be read: {why}") from None
