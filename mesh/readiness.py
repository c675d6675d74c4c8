"""Tells the one who started a process that it takes calls now."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def announce(ready_file: Path | None, facts: Mapping[str, Any]) -> None:
    """Writes `facts` as JSON to the ready file, whole or not at all; does nothing when none was asked for."""
    if ready_file is None:
        return
    draft = ready_file.with_suffix(f".{os.getpid()}.tmp")
    draft.write_text(json.dumps(facts))
    draft.replace(ready_file)
