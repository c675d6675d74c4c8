"""What the index needs to know of each agent. It takes milliseconds per agent to compute, and can be kept between starts."""

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from catalogue.files.cache import EntryFolder
from catalogue.model import AgentDefinition
from catalogue.onet import ONET
from catalogue.search.embedding import Tokens, tokens_of
from catalogue.search.fields import parts_of, words_of

_HERE = Path(__file__).parent


class Features(NamedTuple):
    """The weight of each word in all fields and in those that describe the agent, and the tokens of each part that is embedded."""

    words: Mapping[str, tuple[float, float]]
    tokens: Sequence[Tokens]


def features_of(agents: Sequence[AgentDefinition], kept: EntryFolder | None = None) -> Sequence[Features]:
    """The features of each agent. With `kept`, those of agents that have not changed are read instead of computed."""
    if kept is None:
        return [_computed(agent) for agent in agents]
    found = [features for _, family in groupby(agents, lambda agent: agent.source) for features in _of_family(list(family), kept)]
    kept.trim()
    return found


@lru_cache(maxsize=4096)
def _computed(agent: AgentDefinition) -> Features:
    return Features(words_of(agent), [tokens_of(part) for part in parts_of(agent)])


def _of_family(agents: Sequence[AgentDefinition], kept: EntryFolder) -> Iterator[Features]:
    """One entry for the agents of a file that follow each other."""
    name = hashlib.sha256(_version() + b"".join(f"{agent.agent_id} {agent.revision}\n".encode() for agent in agents)).hexdigest()
    payload = kept.load(name)
    if payload is not None:
        yield from map(_read, orjson.loads(payload))
        return
    computed = [_computed(agent) for agent in agents]
    kept.store(name, orjson.dumps([_written(features) for features in computed]))
    yield from computed


def _written(features: Features) -> Sequence[Any]:
    weights = np.array(list(features.words.values()), np.float64).reshape(-1, 2)
    return [" ".join(features.words), _text(weights), [_text(each) for each in features.tokens]]


def _read(written: Sequence[Any]) -> Features:
    words, weights, tokens = written
    everywhere, telling = np.frombuffer(b64decode(weights), np.float64).reshape(-1, 2).T.tolist()
    pairs = zip(everywhere, telling, strict=True)
    return Features(dict(zip(words.split(), pairs, strict=True)), [np.frombuffer(b64decode(each), np.int32) for each in tokens])


def _text(array: NDArray[Any]) -> str:
    return b64encode(array.tobytes()).decode()


@cache
def _version() -> bytes:
    """Changes with everything that the features depend on, apart from the agent."""
    hashed = hashlib.sha256(f"{version('tokenizers')} {version('wordllama')}".encode())
    for path in (ONET, *sorted(path for path in _HERE.iterdir() if path.suffix in (".py", ".tsv", ".txt"))):
        hashed.update(path.read_bytes())
    return hashed.digest()
