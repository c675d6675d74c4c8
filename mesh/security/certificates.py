"""The certificate, key and trusted roots of a service, read from a folder and read again when they change."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from prometheus_client import Gauge

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.errors import CannotStart

log = structlog.get_logger()

ROOTS, CERTIFICATE, KEY = "ca.crt", "tls.crt", "tls.key"
LOOK_SECONDS = 1.0
EXPIRES = Gauge("mesh_certificate_expires_timestamp_seconds", "When the certificate of this process expires, seconds since the epoch")

_Version = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Material:
    """The files that TLS needs, as PEM."""

    roots: bytes
    chain: bytes
    key: bytes


class TlsFolder:
    """The files of MESH_TLS_DIR: `ca.crt` (one or more roots), `tls.crt` (with its chain) and `tls.key`.

    `identity` is the SPIFFE id that the certificate must have. Raises CannotStart if the files cannot be used at the start. Later files
    that cannot be used are ignored and logged. Thread-safe.
    """

    def __init__(self, path: Path, identity: str, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._path = path
        self._identity = identity
        self._lock = Lock()
        try:
            self._seen = self._version()
            self._material = self._read()
        except (OSError, ValueError) as error:
            raise CannotStart(
                f"MESH_TLS_DIR={path} cannot be used: {_described(error)}; `make certs` creates certificates for tests"
            ) from None
        self._looked = self._clock.monotonic()

    def current(self) -> Material:
        """The current files, read at most once a second; the same object as before if nothing has changed."""
        if self._clock.monotonic() - self._looked < LOOK_SECONDS:
            return self._material
        with self._lock:
            self._looked = self._clock.monotonic()
            self._look()
        return self._material

    def _look(self) -> None:
        try:
            if (version := self._version()) == self._seen:
                return
            self._seen = version
            self._material = self._read()
            log.info("certificates_reloaded", folder=str(self._path))
        except (OSError, ValueError) as error:
            # Possibly in the middle of a rotation; the files are read again after their next change.
            log.warning("certificates_not_reloaded", folder=str(self._path), why=_described(error))

    def _version(self) -> _Version:
        stats = [(self._path / name).stat() for name in (ROOTS, CERTIFICATE, KEY)]
        return tuple((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats)

    def _read(self) -> Material:
        material = Material(*((self._path / name).read_bytes() for name in (ROOTS, CERTIFICATE, KEY)))
        leaf = _parsed(material.chain, CERTIFICATE)[0]
        _parsed(material.roots, ROOTS)
        _check_key(material.key, leaf)
        if identities_of(leaf) != [self._identity]:
            raise ValueError(f"{CERTIFICATE} is for {', '.join(identities_of(leaf)) or 'no SPIFFE id'}, not for {self._identity}")
        if leaf.not_valid_after_utc <= self._clock.now():
            raise ValueError(f"{CERTIFICATE} expired at {leaf.not_valid_after_utc:%Y-%m-%d %H:%M}Z")
        EXPIRES.set(leaf.not_valid_after_utc.timestamp())
        return material


def identities_of(certificate: x509.Certificate) -> Sequence[str]:
    """The URIs in a certificate; a SPIFFE certificate has exactly one."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def _parsed(pem: bytes, name: str) -> Sequence[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise ValueError(f"{name} contains no certificate in PEM format") from None


def _check_key(pem: bytes, leaf: x509.Certificate) -> None:
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError(f"{KEY} is not an unencrypted private key in PEM format") from None
    if key.public_key() != leaf.public_key():
        raise ValueError(f"{KEY} does not belong to {CERTIFICATE}")


def _described(error: Exception) -> str:
    return f"{Path(error.filename or '').name}: {error.strerror}" if isinstance(error, OSError) else str(error)
