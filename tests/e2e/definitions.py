"""The definitions of the installation under test: those that ship, and a few that tests need."""

import json
import shutil
from pathlib import Path
from typing import Any

from mesh.settings import DEFINITIONS

AGENT = "marketing_seo_strategist_agent_1_1"
"""An agent that ships."""
STRICT = "trials_strict_agent_1_790001"
"""Its context must name an audience, one of two, and nothing that it does not know."""
UNKNOWN_MODEL = "trials_misguided_agent_2_790002"
"""Asks for a model that the provider does not have."""
TRIALS = (STRICT, UNKNOWN_MODEL)

_STRICT_CONTEXT = {
    "type": "object",
    "properties": {"audience": {"enum": ["adults", "children"]}, "age": {"type": "integer", "minimum": 0}},
    "required": ["audience"],
    "additionalProperties": False,
}


def write_definitions(folder: Path) -> None:
    """Fills a folder: what ships, and the trial agents."""
    shutil.copytree(DEFINITIONS, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    write_agent(folder, STRICT, context_schema=_STRICT_CONTEXT)
    write_agent(folder, UNKNOWN_MODEL, model="parrot-1")


def write_agent(folder: Path, agent_id: str, **fields: Any) -> Path:
    """Writes the file of one agent, whole or not at all as an editor does, and returns its path."""
    agent = {
        "agent_id": agent_id,
        "category": "trials",
        "role": "trial",
        "name": agent_id.replace("_", " ").title(),
        "description": "Exists so that a test can call it.",
        "prompt": "You are an agent on trial. Answer in a paragraph.",
        **fields,
    }
    return write_file(folder / f"{agent_id}.json", json.dumps(agent))


def write_file(path: Path, text: str) -> Path:
    """Replaces the file's content in one step."""
    draft = path.with_suffix(".draft")
    draft.write_text(text)
    return draft.replace(path)
