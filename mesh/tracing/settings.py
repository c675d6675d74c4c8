"""The settings of tracing: the standard variables of OpenTelemetry that the platform interprets itself."""

from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

from mesh.tracing.context import Sampling

Sampler = Literal["always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"]
PARENT_BASED = "parentbased_"
_URL = r"^(https?://.+)?$"


def ratio_of(sampler: Sampler, argument: float) -> float:
    """The share of the traces that begin here and are sampled."""
    return {"always_on": 1.0, "always_off": 0.0}.get(sampler.removeprefix(PARENT_BASED), argument)


class TracingSettings(BaseSettings):
    """Part of the settings of every process. The exporter reads the other OTEL_EXPORTER_OTLP_* variables from the environment."""

    otel_exporter_otlp_endpoint: str = Field(default="", pattern=_URL)
    """The collector, as `http://host:4317`. Empty: tracing is off."""
    otel_exporter_otlp_traces_endpoint: str = Field(default="", pattern=_URL)
    """The collector of traces, if it is not that of all signals."""
    otel_exporter_otlp_protocol: str = "grpc"
    """The only protocol that is supported is `grpc`."""
    otel_traces_exporter: Literal["otlp", "none"] = "otlp"
    """`none` turns tracing off."""
    otel_sdk_disabled: bool = False
    """Turns tracing off."""
    otel_traces_sampler: Sampler = "parentbased_always_on"
    """Which traces are exported; `parentbased_…`: those that the caller's service samples, and this share of those that begin here."""
    otel_traces_sampler_arg: float = Field(default=1.0, ge=0, le=1)
    """The share for `traceidratio`, from 0 to 1."""
    otel_bsp_max_queue_size: int = Field(default=2048, ge=1)
    """Spans that may wait to be exported; further ones are dropped and counted."""
    otel_bsp_schedule_delay: int = Field(default=5000, ge=1)
    """Milliseconds between exports."""
    otel_bsp_max_export_batch_size: int = Field(default=512, ge=1)
    """Spans in one export."""
    trace_errors_per_second: float = Field(default=10, ge=0)
    """How many errors a second a process exports although their traces are not sampled; 0: none."""

    @field_validator("otel_exporter_otlp_protocol")
    @classmethod
    def _supported(cls, protocol: str) -> str:
        if protocol != "grpc":
            raise ValueError(f"the protocol '{protocol}' is not supported; use grpc, and the collector's port for OTLP over gRPC (4317)")
        return protocol

    @property
    def collector(self) -> str | None:
        """The address of the collector; None if tracing is off."""
        if self.otel_sdk_disabled or self.otel_traces_exporter == "none":
            return None
        return self.otel_exporter_otlp_traces_endpoint or self.otel_exporter_otlp_endpoint or None

    @property
    def sampling(self) -> Sampling:
        """The sampler."""
        ratio = ratio_of(self.otel_traces_sampler, self.otel_traces_sampler_arg)
        return Sampling(ratio, follows_caller=self.otel_traces_sampler.startswith(PARENT_BASED))
