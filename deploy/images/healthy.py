"""`healthy`: exits with 0 if the process of this container answers grpc.health.v1, and with 1 and a reason if it does not.

It asks on the loopback port in READY_FILE, which the process writes once it is ready, as the local stack's supervisor does; any state is an
answer. Health checks run every few seconds, so this speaks HTTP/2 itself: importing grpcio would take longer than the process needs for a
hundred calls.
"""

import json
import os
import socket
import sys

SECONDS = 4
DATA, HEADERS, SETTINGS = 0, 1, 4
END_STREAM, END_HEADERS, ACK = 1, 4, 1
OK = b"\x08"
"""How an answer begins: the field `status` of HealthCheckResponse."""


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def text(value: bytes) -> bytes:
    return bytes((len(value),)) + value


def request() -> bytes:
    """A call of Check with an empty message; the headers are HPACK literals (RFC 7541) that are added to no table."""
    headers = (
        b"\x83\x86"  # :method POST, :scheme http
        + (b"\x04" + text(b"/grpc.health.v1.Health/Check"))
        + (b"\x01" + text(b"localhost"))
        + (b"\x0f\x10" + text(b"application/grpc"))
        + (b"\x00" + text(b"te") + text(b"trailers"))
    )
    message = frame(HEADERS, END_HEADERS, 1, headers) + frame(DATA, END_STREAM, 1, bytes(5))
    return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0) + message


def read(connection: socket.socket, size: int) -> bytes:
    parts = b""
    while len(parts) < size:
        part = connection.recv(size - len(parts))
        if not part:
            raise OSError("the connection was closed without an answer")
        parts += part
    return parts


def answer(port: int) -> bytes:
    """The body of the response. Raises OSError if there is none in time."""
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        connection.sendall(request())
        while True:
            header = read(connection, 9)
            payload = read(connection, int.from_bytes(header[:3], "big"))
            kind, flags, stream = header[3], header[4], int.from_bytes(header[5:], "big")
            if kind == DATA and stream == 1:
                return payload[5:]
            if kind == HEADERS and flags & END_STREAM:
                raise OSError("the call failed")
            if kind == SETTINGS and not flags & ACK:
                connection.sendall(frame(SETTINGS, ACK, 0))


def main() -> int:
    ready_file = os.environ.get("READY_FILE", "")
    try:
        with open(ready_file) as file:
            port = int(json.load(file)["health_port"])
        found = answer(port)
    except (OSError, ValueError, KeyError) as error:
        sys.stderr.write(f"not healthy: READY_FILE={ready_file}: {error!r}\n")
        return 1
    return 0 if found.startswith(OK) else 1


if __name__ == "__main__":
    sys.exit(main())
