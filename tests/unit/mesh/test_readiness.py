"""The ready file."""

import json
from pathlib import Path

from mesh.readiness import announce


def test_the_ready_file_has_the_facts_and_no_temporary_file_remains(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    announce(ready, {"ports": 3})
    announce(ready, {"ports": 4})
    assert json.loads(ready.read_text()) == {"ports": 4}
    assert list(tmp_path.iterdir()) == [ready]


def test_no_file_is_written_without_a_path(tmp_path: Path) -> None:
    announce(None, {"ports": 3})
    assert list(tmp_path.iterdir()) == []
