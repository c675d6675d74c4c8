"""The Ed25519 keys of call tokens, as PEM: the private key mints tokens, public keys verify them."""

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
    """The public key of a private key, as PEM."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def read_private(pem: str) -> Ed25519PrivateKey:
    """The private key in a text. Raises ValueError if it is not an unencrypted Ed25519 key; the message never quotes it."""
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("is not an unencrypted Ed25519 private key in PEM format; create one with `openssl genpkey -algorithm ed25519`")
    return key


def read_public(pem: str) -> Sequence[Ed25519PublicKey]:
    """All public keys in a text, at least one. Raises ValueError if one of them is not an Ed25519 key."""
    blocks = _PUBLIC_BLOCK.findall(pem)
    keys = []
    for block in blocks:
        try:
            key = load_pem_public_key(block.encode())
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise ValueError("contains a key that is not Ed25519; call tokens are verified with Ed25519 keys only")
        keys.append(key)
    if not keys:
        raise ValueError("contains no public key in PEM format; print that of a private key with `openssl pkey -pubout`")
    return keys
