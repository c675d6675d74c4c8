"""TLS from the gateway to the orchestrators, with certificates that can be renewed without a restart.

Envoy reads certificates named in its bootstrap only once. It reads those named in a secret (SDS) again when a file in their folder is
replaced.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mesh.security.identities import ORCHESTRATOR, server_name

CERTIFICATE, ROOTS = "certificate", "roots"
GATEWAY_SECRET = "gateway_secret"
_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"


def upstream(sds_dir: Path) -> Mapping[str, Any]:
    """The transport socket of the orchestrators' cluster."""
    context = {
        "tls_certificate_sds_secret_configs": [_reference(CERTIFICATE, sds_dir)],
        "validation_context_sds_secret_config": _reference(ROOTS, sds_dir),
        "alpn_protocols": ["h2"],
    }
    socket = {"@type": f"{_TLS}.UpstreamTlsContext", "sni": server_name(ORCHESTRATOR), "common_tls_context": context}
    return {"name": "envoy.transport_sockets.tls", "typed_config": socket}


def write(sds_dir: Path, tls_dir: Path) -> None:
    """Writes both secrets. They contain the paths of the files in `tls_dir`, not their contents."""
    watched = {"watched_directory": {"path": str(tls_dir)}}
    files = {"certificate_chain": {"filename": str(tls_dir / "tls.crt")}, "private_key": {"filename": str(tls_dir / "tls.key")}}
    only = [{"san_type": "URI", "matcher": {"exact": ORCHESTRATOR}}]
    trusted: Mapping[str, Any] = {"trusted_ca": {"filename": str(tls_dir / "ca.crt")}, "match_typed_subject_alt_names": only}
    secrets = {CERTIFICATE: {"tls_certificate": {**files, **watched}}, ROOTS: {"validation_context": {**trusted, **watched}}}
    sds_dir.mkdir(parents=True, exist_ok=True)
    for name, secret in secrets.items():
        resource = {"@type": f"{_TLS}.Secret", "name": name, **secret}
        _path(name, sds_dir).write_text(json.dumps({"resources": [resource]}, indent=1) + "\n")  # JSON is valid YAML


def gateway_secret(sds_dir: Path) -> Mapping[str, Any]:
    """Where Envoy finds the secret by which it proves itself. Unlike a header of the bootstrap, it is not in the admin's config dump."""
    return _reference(GATEWAY_SECRET, sds_dir)


def write_gateway_secret(sds_dir: Path, secret_file: Path) -> None:
    """Writes the secret for Envoy: the first word of the file, readable for its owner only."""
    resource = {
        "@type": f"{_TLS}.Secret",
        "name": GATEWAY_SECRET,
        "generic_secret": {"secret": {"inline_string": secret_file.read_text().split()[0]}},
    }
    sds_dir.mkdir(parents=True, exist_ok=True)
    path = _path(GATEWAY_SECRET, sds_dir)
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(json.dumps({"resources": [resource]}, indent=1) + "\n")


def _reference(name: str, sds_dir: Path) -> Mapping[str, Any]:
    return {"name": name, "sds_config": {"path_config_source": {"path": str(_path(name, sds_dir))}, "resource_api_version": "V3"}}


def _path(name: str, sds_dir: Path) -> Path:
    return sds_dir / f"{name}.yaml"
