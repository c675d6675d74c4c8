"""The web origins whose pages may call the API (CORS)."""

import re

_ORIGIN = re.compile(r"https?://(?:[a-z0-9-]+(?:\.[a-z0-9-]+)*|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")


def origins(setting: str) -> tuple[str, ...]:
    """The origins in a list separated by commas, such as `https://console.example.com,http://localhost:5173`; empty for none.

    Raises ValueError for an entry that no browser would send as its origin.
    """
    entries = tuple(entry for entry in (part.strip() for part in setting.split(",")) if entry)
    for entry in entries:
        if not _ORIGIN.fullmatch(entry):
            raise ValueError(
                f"invalid origin {entry}: write scheme, host in lower case and, if it is not the default, port, without a path, "
                "such as https://console.example.com"
            )
    return entries
