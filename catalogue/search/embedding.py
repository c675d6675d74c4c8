"""Sentence embeddings from word vectors that ship inside a wheel: no download, no torch, 0.1 ms for a sentence."""

from collections.abc import Sequence
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file
from tokenizers import Tokenizer

Vector = NDArray[np.float32]
Tokens = NDArray[np.int32]
_NO_TOKENS = np.array([], np.int32)

_PACKAGE = "wordllama"
_WEIGHTS = "weights/l2_supercat_256.safetensors"
_TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"
_MOST_CHARACTERS = 4000
"""The rest of a text would hardly change its mean."""


class Embedding:
    """Maps a text to the mean of its tokens' vectors, of length 1. Tokens that are frequent in `corpus` count less.

    A text of the corpus consists of parts.
    """

    def __init__(self, corpus: Sequence[Sequence[Tokens]]) -> None:
        self._model = _vectors()
        tokens = [np.concatenate([_NO_TOKENS, *parts]) for parts in corpus]
        containing = np.zeros(len(self._model), np.float32)
        for each in tokens:
            containing[np.unique(each)] += 1
        self._idf = np.log(1 + len(corpus) / (1 + containing)).astype(np.float32)
        self._sums = np.array([self._sum(each) for each in tokens]).reshape(len(tokens), self._model.shape[1])
        self.vectors = np.array([_unit(each) for each in self._sums]).reshape(self._sums.shape)
        """Those of the corpus, in its order."""

    def of(self, text: str) -> Vector:
        """The vector of a text; zeros for a text without tokens."""
        return _unit(self._sum(tokens_of(text)))

    def without(self, row: int, part: str) -> Vector:
        """The vector of a text of the corpus without one of its parts."""
        return _unit(self._sums[row] - self._sum(tokens_of(part)))

    def _sum(self, tokens: Tokens) -> Vector:
        return np.asarray(self._idf[tokens] @ self._model[tokens], np.float32)


def _unit(vector: Vector) -> Vector:
    length = float(np.linalg.norm(vector))
    return np.asarray(vector / length if length else vector, np.float32)


@lru_cache(maxsize=16_384)
def tokens_of(text: str) -> Tokens:
    """The tokens of a text; remembered, so that a changed catalogue only pays for the agents that changed."""
    encodable = text[:_MOST_CHARACTERS].encode(errors="replace").decode()
    return np.array(_tokenizer().encode(encodable, add_special_tokens=False).ids, np.int32)


@cache
def _tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(_folder() / _TOKENIZER))


@cache
def _vectors() -> Vector:
    """The vectors of all tokens, 32,000 by 256."""
    (vectors,) = load_file(_folder() / _WEIGHTS).values()
    return np.asarray(vectors, np.float32)


def _folder() -> Path:
    """The installed package's files. The package itself is not imported: it would look for its tokenizer on the network."""
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"the package {_PACKAGE} is not installed; install the packages of requirements.lock")
    return Path(spec.submodule_search_locations[0])
