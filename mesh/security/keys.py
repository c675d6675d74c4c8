"""The Ed25519 keys behind call tokens, as PEM: one private key for who mints, public ones for who checks."""

import re
from collections.abc import Sequence

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

_PUBLIC_BLOCK = re.compile(r"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.DOTALL)


def make_pair() -> tuple[str, str]:
    """A new private key (PKCS #8) and its public key, both as PEM."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private.decode(), public_pem(key)


def public_pem(key: Ed25519PrivateKey) -> str:
    """The public key that belongs to a private one, as PEM."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def read_private(pem: str) -> Ed25519PrivateKey:
    """The one private key in a text. Raises ValueError when it is no unencrypted Ed25519 key; the message never quotes it."""
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("is not an unencrypted Ed25519 private key in PEM form; `openssl genpkey -algorithm ed25519` makes one")
    return key


def read_public(pem: str) -> Sequence[Ed25519PublicKey]:
    """Every public key in a text, at least one. Raises ValueError when one of them is no Ed25519 key."""
    blocks = _PUBLIC_BLOCK.findall(pem)
    keys = []
    for block in blocks:
        try:
            key = load_pem_public_key(block.encode())
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise ValueError("holds a key that is not Ed25519; hosts check call tokens with Ed25519 alone")
        keys.append(key)
    if not keys:
        raise ValueError("holds no public key in PEM form; `openssl pkey -pubout` writes the one of a private key")
    return keys
