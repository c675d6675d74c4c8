"""Assembles connections.wat, Envoy's limit of connections by address, into gen/: `python -m gateway.envoy.connections`."""

from pathlib import Path

from wasmtime import wat2wasm

SOURCE = Path(__file__).with_suffix(".wat")
ASSEMBLED = SOURCE.parents[2] / "gen" / "connections.wasm"


def assemble() -> bytes:
    """The module as Envoy loads it."""
    return bytes(wat2wasm(SOURCE.read_text()))


if __name__ == "__main__":
    ASSEMBLED.write_bytes(assemble())
