"""Requests a page from a local HTTP server without a client library."""

import asyncio


async def http_status(port: int, path: str, patience_seconds: float = 2, token: str = "") -> int | None:
    """The status of a GET from 127.0.0.1, with `token` as its credential if there is one; None if there is no answer in time."""
    credential = f"Authorization: Bearer {token}\r\n" if token else ""
    try:
        async with asyncio.timeout(patience_seconds):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{credential}Connection: close\r\n\r\n".encode())
                words = (await reader.readline()).split()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return None
    return int(words[1]) if len(words) > 1 else None
