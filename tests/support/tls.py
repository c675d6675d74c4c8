"""Certificates for the meshes that tests start, and clients that present them."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from deploy.local.secrets.certs import DevelopmentAuthority
from deploy.local.secrets.secret_files import write_private
from mesh.rpc.channel import CHANNEL_OPTIONS
from mesh.security.certificates import CERTIFICATE, KEY, ROOTS
from mesh.security.identities import server_name


def trust(folder: Path, *authorities: DevelopmentAuthority) -> None:
    """Make the service with the certificates in `folder` trust these authorities and no others."""
    write_private(folder / ROOTS, "".join(one.certificate.public_bytes(Encoding.PEM).decode() for one in authorities))


def client_channel(port: int, peer: str, roots: Path, shown: Path | None, **options: Any) -> grpc.aio.Channel:
    """A connection of its own to the service `peer`. The client trusts `roots` and presents the certificate in the folder `shown`."""
    key, chain = [(shown / name).read_bytes() for name in (KEY, CERTIFICATE)] if shown else (None, None)
    credentials = grpc.ssl_channel_credentials((roots / ROOTS).read_bytes(), key, chain)
    own = (("grpc.use_local_subchannel_pool", 1), ("grpc.ssl_target_name_override", server_name(peer)))
    return grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=(*CHANNEL_OPTIONS, *own), **options)


async def certificate_at(port: int, shown: Path) -> x509.Certificate:
    """The certificate that a server presents to a client with the certificate in the folder `shown`."""
    context = ssl.create_default_context(cafile=str(shown / ROOTS))
    context.load_cert_chain(shown / CERTIFICATE, shown / KEY)
    context.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        return x509.load_der_x509_certificate(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
    finally:
        writer.close()
