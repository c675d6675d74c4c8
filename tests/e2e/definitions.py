"""The definitions of the installation under test: one shipped category, and a few that tests need."""

import json
import shutil
from pathlib import Path
from typing import Any

from mesh.settings import DEFINITIONS

CATEGORY = "marketing"
"""The whole catalogue would put several agents on most ports, and slow down every start."""
AGENT = "marketing_seo_strategist_agent_1_1"
"""A shipped agent."""
STRICT = "trials_strict_agent_1_790001"
"""Its context must contain one of two audiences and no unknown key."""
UNKNOWN_MODEL = "trials_misguided_agent_2_790002"
"""Requests a model that the provider does not have."""
TRIALS = (STRICT, UNKNOWN_MODEL)

_STRICT_CONTEXT = {
    "type": "object",
    "properties": {"audience": {"enum": ["adults", "children"]}, "age": {"type": "integer", "minimum": 0}},
    "required": ["audience"],
    "additionalProperties": False,
}


def write_definitions(folder: Path) -> None:
    """Fill a folder with the definitions of one shipped category and the trial agents."""
    shutil.copytree(DEFINITIONS / CATEGORY, folder / CATEGORY)
    write_agent(folder, STRICT, context_schema=_STRICT_CONTEXT)
    write_agent(folder, UNKNOWN_MODEL, model="parrot-1")


def write_agent(folder: Path, agent_id: str, **fields: Any) -> Path:
    """Write the file of one agent atomically, as an editor does, and return its path."""
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
    """Replace the file's content in one step."""
    draft = path.with_suffix(".draft")
    draft.write_text(text)
    return draft.replace(path)
