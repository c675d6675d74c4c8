"""How well the search and the recommendations do on the judged set, and what one question costs."""

import math
import time
from collections.abc import Mapping, Sequence

from catalogue.files.reader import read
from catalogue.search.fit import LEAST_FITTING
from catalogue.search.index import SearchIndex
from catalogue.search.result import SearchResult
from mesh.settings import DEFINITIONS
from tests.catalogue.judged import Answer, Judged, figures, groups, load

GOALS = {"English": "0.90, 0.95", "German, Spanish, French": "0.75, 0.85", "no agent is right": "refused 0.80"}


async def main() -> None:
    """Prints the figures of each half and group, and the CPU time of a search."""
    catalogue = read(DEFINITIONS)
    began = time.thread_time()
    index = SearchIndex(catalogue.agents)
    print(f"{len(catalogue)} agents, indexed in {time.thread_time() - began:.1f} s of CPU")
    sentences = load()
    costs, answers = _asked(index, sentences)
    print(f"{'half':<12} {'sentences':<24} {'n':>4} {'recall@5':>9} {'right role':>11} {'refused':>8}   goal")
    for half, chosen in _halves(sentences).items():
        for name, group in groups(chosen).items():
            reached = figures(group, answers, catalogue)
            shares = f"{reached.found:>9.2f} {reached.right_role:>11.2f}" if "no agent" not in name else f"{'-':>9} {'-':>11}"
            print(f"{half:<12} {name:<24} {reached.sentences:>4} {shares} {reached.refused:>8.2f}   {GOALS[name]}")
    costs.sort()
    print(f"CPU per search: p50 {1000 * costs[len(costs) // 2]:.1f} ms, p95 {1000 * costs[math.ceil(0.95 * len(costs)) - 1]:.1f} ms")


def _asked(index: SearchIndex, sentences: Sequence[Judged]) -> tuple[list[float], Mapping[str, Answer]]:
    """The CPU seconds of each search, and the answers."""
    costs, answers = [], {}
    for each in sentences:
        began = time.thread_time()
        result = index.find(each.sentence)
        costs.append(time.thread_time() - began)
        answers[each.sentence] = _answer(result)
    return costs, answers


def _answer(result: SearchResult) -> Answer:
    first = [*result.matches, *result.nearest]
    return Answer([each.agent_id for each in first], not first or first[0].fit < LEAST_FITTING)


def _halves(sentences: Sequence[Judged]) -> Mapping[str, Sequence[Judged]]:
    return {
        "development": [each for each in sentences if each.for_development],
        "report": [each for each in sentences if not each.for_development],
    }
