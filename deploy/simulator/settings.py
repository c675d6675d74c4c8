from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class SimulatorSettings(BaseSettings):
    """The simulator's settings, from environment variables of the same names in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    host_address: str = "127.0.0.1"
    """The address to listen on. Nothing here is protected: keep it on loopback."""
    simulator_port: int = Field(default=0, ge=0, le=65_535)
    """The port; 0 takes any free one."""
    simulator_log: Path | None = None
    """The file that the log is appended to; None keeps the latest lines in memory only."""
    simulator_delay_ms: int = Field(default=0, ge=0)
    """Milliseconds before every answer."""
    simulator_trickle_ms: int = Field(default=0, ge=0)
    """Milliseconds between the deltas of every streamed answer."""
    ready_file: Path | None = None
    """Gets `{"port": n}` once the simulator takes requests."""
    log_format: Literal["json", "console"] = "json"
    """How the process's own log lines look on standard error."""
