import os
from collections.abc import Callable
from pathlib import Path

import pytest

Write = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder of definitions."""
    (tmp_path / "definitions").mkdir()
    return tmp_path / "definitions"


@pytest.fixture
def write(folder: Path) -> Write:
    """Writes a file below the folder. By default its mtime is unique and well in the past, like that of a file at rest."""
    written = iter(range(1, 10_000))

    def _write(name: str, text: str | bytes, settled: bool = True) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        if settled:
            when = 1_700_000_000 + next(written)
            os.utime(path, (when, when))
        return path

    return _write


@pytest.fixture
def family() -> Callable[..., str]:
    """The text of a valid family whose agents have the given numbers; `extra` is added at its top level."""

    def _family(*numbers: int, role: str = "strategist", extra: str = "") -> str:
        agents = "".join(
            f"  - agent_id: marketing_{role}_agent_{index}_{number}\n    name: Agent {number}\n    description: Does work {number}.\n"
            f"    focus: |\n      You know field {number}.\n"
            for index, number in enumerate(numbers, 1)
        )
        prompt = "prompt: |\n  You are {{title}}.\nparameters: {title: a strategist}\n"
        return f"category: marketing\nrole: {role}\n{prompt}{extra}agents:\n{agents}"

    return _family


@pytest.fixture
def single() -> Callable[..., str]:
    """The text of a valid file with one agent; `extra` is added to it."""

    def _single(number: int = 7, prefix: str = "own_helper", extra: str = "") -> str:
        return (
            f"category: own\nrole: helper\nprompt: Help people.\nagent_id: {prefix}_agent_1_{number}\nname: Helper\n"
            f"description: Helps people.\n{extra}"
        )

    return _single
