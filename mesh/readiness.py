"""The ready file, by which a process tells its supervisor that it takes calls."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def announce(ready_file: Path | None, facts: Mapping[str, Any]) -> None:
    """Writes `facts` as JSON to the ready file atomically; does nothing if there is no ready file."""
    if ready_file is None:
        return
    draft = ready_file.with_suffix(f".{os.getpid()}.tmp")
    draft.write_text(json.dumps(facts))
    draft.replace(ready_file)
