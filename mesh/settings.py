"""The settings that all processes share. Each process reads its settings once, at its start; nothing else reads the environment."""

from ipaddress import IPv4Address
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from mesh.secret_files import FileSettings
from mesh.tracing.settings import TracingSettings

DEFINITIONS = Path(__file__).resolve().parent.parent / "definitions"


class MeshSettings(TracingSettings, FileSettings):
    """The base of the settings of every process."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    host_address: str = "127.0.0.1"
    """The address to listen on. Without `mesh_tls_dir` it must be a loopback address."""
    mesh_tls_dir: Path | None = None
    """The folder with this service's `tls.crt`, `tls.key` and `ca.crt`. None: plaintext, on loopback only."""
    port_offset: int = Field(default=0, ge=0, le=56_000)
    """Added to every agent port, so that several stacks can run side by side."""
    definitions_path: Path = DEFINITIONS
    """The folder of agent definitions."""
    definitions_cache: Path | None = Path("~/.cache/agentmesh/definitions")
    """The folder that keeps parsed definitions between starts; empty: none."""
    limit_context_bytes: int = Field(default=256 * 1024, ge=1024, le=4 * 1024 * 1024)
    """How large the free-form contexts of one request may be together, in protobuf encoding."""
    limit_context_nodes: int = Field(default=10_000, ge=10)
    """How many values these contexts may hold together."""
    log_format: Literal["json", "console"] = "json"
    """The format of log lines on standard error."""
    metrics_port: int | None = None
    """The port for Prometheus; None serves no metrics."""
    health_port: int | None = Field(default=None, ge=0, le=65535)
    """Where grpc.health.v1 answers in plaintext, for the supervisor of the process; 0 takes any free port, None serves no health."""
    health_address: str = "127.0.0.1"
    """The address on which it answers. A supervisor elsewhere, such as the kubelet, needs one that it can reach."""
    ready_file: Path | None = None
    """The file to write when the process accepts calls."""
    drain_grace_seconds: float = Field(default=30, ge=0)
    """How long calls in progress may take to finish when the process stops."""
    failpoints: str = ""
    """Comma-separated failpoints to arm; for tests only."""

    @field_validator("definitions_cache", mode="before")
    @classmethod
    def _none_if_empty(cls, value: object) -> object:
        return value or None

    @model_validator(mode="after")
    def _nobody_listens_in(self) -> "MeshSettings":
        if self.mesh_tls_dir is None and not _is_loopback(self.host_address):
            raise ValueError(
                f"HOST_ADDRESS={self.host_address} is not an IPv4 loopback address: without TLS the mesh listens on loopback only; "
                "set MESH_TLS_DIR to the folder of this service's certificate"
            )
        return self


def _is_loopback(address: str) -> bool:
    try:
        return IPv4Address(address).is_loopback
    except ValueError:
        return address == "localhost"


def explain(error: ValidationError) -> str:
    """The problems of the settings in one line, without values, because some are secrets."""
    faults = (("_".join(map(str, fault["loc"])).upper(), fault["msg"].removeprefix("Value error, ")) for fault in error.errors())
    return "; ".join(f"{name}: {message}" if name else message for name, message in faults)
