"""What the index needs to know of each agent. It takes milliseconds per agent to compute, and can be kept between starts."""

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import orjson
from numpy.typing import NDArray

from catalogue.files.cache import EntryFolder
from catalogue.model import AgentDefinition
from catalogue.onet import ONET
from catalogue.search.embedding import Tokens, tokens_of
from catalogue.search.fields import parts_of, words_of
from catalogue.search.lexical import Document, document_of

_HERE = Path(__file__).parent


@dataclass(frozen=True, eq=False)
class Features:
    """An agent's document, and the tokens of each part that is embedded."""

    document: Document
    tokens: Sequence[Tokens]


Words = Mapping[str, tuple[float, float]]
_in_use: WeakValueDictionary[AgentDefinition, Features] = WeakValueDictionary()
"""The features that an index holds."""


def features_of(agents: Sequence[AgentDefinition], kept: EntryFolder | None = None) -> Sequence[Features]:
    """The features of each agent. Those that another index holds are shared; with `kept`, others are read instead of computed."""
    families = [list(family) for _, family in groupby(agents, lambda agent: agent.source)]
    found = [features for family in families for features in _of_family(family, kept)]
    if kept is not None:
        kept.trim()
    return found


def _of_family(agents: Sequence[AgentDefinition], kept: EntryFolder | None) -> Sequence[Features]:
    """The features of the agents of a file that follow each other, for which one entry is kept."""
    known = [_in_use.get(agent) for agent in agents]
    if None not in known:
        return [features for features in known if features is not None]
    found = _kept(agents, kept) if kept is not None else [_features(*_computed(agent)) for agent in agents]
    _in_use.update(zip(agents, found, strict=True))
    return found


def _kept(agents: Sequence[AgentDefinition], kept: EntryFolder) -> Sequence[Features]:
    name = hashlib.sha256(_version() + b"".join(f"{agent.agent_id} {agent.revision}\n".encode() for agent in agents)).hexdigest()
    payload = kept.load(name)
    if payload is not None:
        return [_features(*_read(written)) for written in orjson.loads(payload)]
    computed = [_computed(agent) for agent in agents]
    kept.store(name, orjson.dumps([_written(*each) for each in computed]))
    return [_features(*each) for each in computed]


def _computed(agent: AgentDefinition) -> tuple[Words, Sequence[Tokens]]:
    return words_of(agent), [tokens_of(part) for part in parts_of(agent)]


def _features(words: Words, tokens: Sequence[Tokens]) -> Features:
    return Features(document_of(words), tokens)


def _written(words: Words, tokens: Sequence[Tokens]) -> Sequence[Any]:
    weights = np.array(list(words.values()), np.float64).reshape(-1, 2)
    return [" ".join(words), _text(weights), [_text(each) for each in tokens]]


def _read(written: Sequence[Any]) -> tuple[Words, Sequence[Tokens]]:
    words, weights, tokens = written
    everywhere, telling = np.frombuffer(b64decode(weights), np.float64).reshape(-1, 2).T.tolist()
    pairs = zip(everywhere, telling, strict=True)
    return dict(zip(words.split(), pairs, strict=True)), [np.frombuffer(b64decode(each), np.int32) for each in tokens]


def _text(array: NDArray[Any]) -> str:
    return b64encode(array.tobytes()).decode()


@cache
def _version() -> bytes:
    """Changes with everything that the features depend on, apart from the agent."""
    hashed = hashlib.sha256(f"{version('tokenizers')} {version('wordllama')}".encode())
    for path in (ONET, *sorted(path for path in _HERE.iterdir() if path.suffix in (".py", ".tsv", ".txt"))):
        hashed.update(path.read_bytes())
    return hashed.digest()
