"""TLS between the services: credentials of servers and channels that follow their files, and who is at the other end."""

from collections.abc import Sequence
from typing import Any

import grpc

from mesh.security.certificates import Material, TlsFolder
from mesh.security.identities import server_name


class ServerTls:
    """Credentials for the ports of one process. A new connection sees new certificates; those that stand are left alone."""

    def __init__(self, folder: TlsFolder, *, clients_must_show_certificates: bool) -> None:
        self._folder = folder
        self._mutual = clients_must_show_certificates

    def of_port(self) -> grpc.ServerCredentials:
        """Credentials for one port and no other: gRPC asks once for each connection whether they have changed since it last asked."""
        shown = self._folder.current()

        def renewed() -> grpc.ServerCertificateConfiguration | None:
            nonlocal shown
            current = self._folder.current()
            if current is shown:
                return None
            shown = current
            return _configuration(current)

        fetch: Any = renewed  # its type leaves out that None means no change
        return grpc.dynamic_ssl_server_credentials(_configuration(shown), fetch, self._mutual)


class ClientTls:
    """Credentials for channels to one service, whose servers must show its certificate wherever they are."""

    def __init__(self, folder: TlsFolder, peer: str) -> None:
        self._folder = folder
        self._peer = peer

    @property
    def material(self) -> Material:
        """What the credentials are made of now; another object once the files have changed."""
        return self._folder.current()

    def credentials(self) -> grpc.ChannelCredentials:
        """Credentials for a new channel."""
        material = self.material
        return grpc.ssl_channel_credentials(material.roots, material.key, material.chain)

    @property
    def options(self) -> Sequence[tuple[str, str]]:
        """Options that such a channel needs."""
        return (("grpc.ssl_target_name_override", server_name(self._peer)),)


def peer_identity(context: grpc.aio.ServicerContext[Any, Any]) -> str | None:
    """The SPIFFE id in the certificate that the caller has proven to own; None when it has shown none, or one without an id."""
    proven = next(iter(context.auth_context().get("peer_spiffe_id", ())), None)
    return None if proven is None else proven.decode()


def _configuration(material: Material) -> grpc.ServerCertificateConfiguration:
    # Never one that gRPC has been given before: it frees them.
    return grpc.ssl_server_certificate_configuration([(material.key, material.chain)], material.roots)
