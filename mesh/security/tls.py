"""TLS between the services: credentials that are reloaded when their files change, and the identity of the peer."""

from collections.abc import Sequence
from typing import Any

import grpc

from mesh.security.certificates import Material, TlsFolder
from mesh.security.identities import server_name


class ServerTls:
    """Credentials for the ports of one process. New connections use new certificates; open connections keep theirs."""

    def __init__(self, folder: TlsFolder, *, clients_must_show_certificates: bool) -> None:
        self._folder = folder
        self._mutual = clients_must_show_certificates

    def of_port(self) -> grpc.ServerCredentials:
        """Credentials for exactly one port: gRPC asks once per connection whether they have changed since it last asked."""
        shown = self._folder.current()

        def renewed() -> grpc.ServerCertificateConfiguration | None:
            nonlocal shown
            current = self._folder.current()
            if current is shown:
                return None
            shown = current
            return _configuration(current)

        fetch: Any = renewed  # the annotation omits None, which means no change
        return grpc.dynamic_ssl_server_credentials(_configuration(shown), fetch, self._mutual)


class ClientTls:
    """Credentials for channels to one service; its servers must have that service's certificate."""

    def __init__(self, folder: TlsFolder, peer: str) -> None:
        self._folder = folder
        self._peer = peer

    @property
    def material(self) -> Material:
        """The current files; a different object after they change."""
        return self._folder.current()

    def credentials(self) -> grpc.ChannelCredentials:
        """Credentials for a new channel."""
        material = self.material
        return grpc.ssl_channel_credentials(material.roots, material.key, material.chain)

    @property
    def options(self) -> Sequence[tuple[str, str]]:
        """The options of such a channel."""
        return (("grpc.ssl_target_name_override", server_name(self._peer)),)


def peer_identity(context: grpc.aio.ServicerContext[Any, Any]) -> str | None:
    """The SPIFFE id in the caller's verified certificate; None without a certificate or without an id in it."""
    proven = next(iter(context.auth_context().get("peer_spiffe_id", ())), None)
    return None if proven is None else proven.decode()


def _configuration(material: Material) -> grpc.ServerCertificateConfiguration:
    # A new object each time: gRPC frees what it is given.
    return grpc.ssl_server_certificate_configuration([(material.key, material.chain)], material.roots)
