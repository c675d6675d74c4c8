"""The ready file."""

import json
from pathlib import Path

from mesh.readiness import announce


def test_it_holds_the_facts_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    announce(ready, {"ports": 3})
    announce(ready, {"ports": 4})
    assert json.loads(ready.read_text()) == {"ports": 4}
    assert list(tmp_path.iterdir()) == [ready]


def test_nobody_asked_nothing_is_written(tmp_path: Path) -> None:
    announce(None, {"ports": 3})
    assert list(tmp_path.iterdir()) == []
