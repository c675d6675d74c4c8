"""Frames of HTTP/2, for clients that no library lets behave badly."""

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = 4


def frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def settings() -> bytes:
    """The first frame of a client, with the default settings."""
    return frame(SETTINGS)
