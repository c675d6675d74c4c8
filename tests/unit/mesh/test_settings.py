"""Settings: what every process of the mesh refuses to start with, and the error that it prints."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from mesh.settings import DEFINITIONS, MeshSettings, explain


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "localhost"])
def test_loopback_addresses_are_accepted(address: str) -> None:
    assert MeshSettings(host_address=address).host_address == address


@pytest.mark.parametrize("address", ["0.0.0.0", "10.0.0.1", "192.168.1.1", "::", "2001:db8::1", "example.com", "127.0.0.1.example.com", ""])
def test_a_public_address_is_refused_without_tls(address: str) -> None:
    with pytest.raises(ValidationError, match="loopback"):
        MeshSettings(host_address=address)
    assert MeshSettings(host_address=address, mesh_tls_dir=Path("certs")).host_address == address


@pytest.mark.parametrize("offset", [-1, 56_001])
def test_ports_are_limited_to_the_tcp_range(offset: int) -> None:
    with pytest.raises(ValidationError):
        MeshSettings(port_offset=offset)


def test_settings_come_from_the_environment_and_are_immutable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT_OFFSET", "700")
    monkeypatch.setenv("LOG_FORMAT", "console")
    settings = MeshSettings()
    assert (settings.port_offset, settings.log_format, settings.definitions_path) == (700, "console", DEFINITIONS)
    with pytest.raises(ValidationError):
        settings.port_offset = 1  # type: ignore[misc]


def test_the_shipped_definitions_are_the_default() -> None:
    assert (DEFINITIONS / "schema.json").is_file()


def test_errors_are_printed_on_one_line_without_the_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT_OFFSET", "s3cret")
    monkeypatch.setenv("LOG_FORMAT", "s3cret")
    with pytest.raises(ValidationError) as refused:
        MeshSettings()
    assert "s3cret" not in str(refused.value)
    message = explain(refused.value)
    assert len(message.splitlines()) == 1
    assert "PORT_OFFSET: " in message
    assert "LOG_FORMAT: " in message
