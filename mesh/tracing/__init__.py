"""Traces: spans and their context. The OpenTelemetry SDK exports them; it is imported only if a collector is configured."""
