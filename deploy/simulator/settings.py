from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class SimulatorSettings(BaseSettings):
    """The simulator's settings, read from environment variables with the same names in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    host_address: str = "127.0.0.1"
    """The address to listen on. The simulator has no access control: keep it on loopback."""
    simulator_port: int = Field(default=0, ge=0, le=65_535)
    """The port; 0 for any free port."""
    simulator_log: Path | None = None
    """The file that the log is appended to; None to keep only the latest lines in memory."""
    simulator_delay_ms: int = Field(default=0, ge=0)
    """Milliseconds before every answer."""
    simulator_trickle_ms: int = Field(default=0, ge=0)
    """Milliseconds between the deltas of every streamed answer."""
    ready_file: Path | None = None
    """Receives `{"port": n}` once the simulator accepts requests."""
    log_format: Literal["json", "console"] = "json"
    """The format of the process's own log on standard error."""
