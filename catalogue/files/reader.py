"""Reads a folder of definition files into a catalogue.

A file is valid or broken as a whole. A broken file becomes a problem of the catalogue, and its last valid version keeps serving.
"""

import gc
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from catalogue.catalogue import Catalogue, DefinitionFile, Problem, Stamp
from catalogue.errors import DefinitionsUnreadable
from catalogue.files.cache import DocumentCache, Entry
from catalogue.files.documents import Unparsable, parse_json, parse_yaml
from catalogue.files.family import DefinitionBroken, agents_of, checked_agents_of
from catalogue.files.settling import Settling
from catalogue.model import AgentDefinition
from mesh.clock import SYSTEM_CLOCK

MAX_BYTES = 1024 * 1024
_PARSERS = {".yaml": parse_yaml, ".yml": parse_yaml, ".json": parse_json}
_NOT_DEFINITIONS = ("models.yaml", "schema.json")
_CLOCK_GRAIN_SECONDS = 0.05
"""Two writes within one tick of the file system's clock have the same mtime, so a file this young is read again the next time."""


def read(path: Path, previous: Catalogue | None = None, settling: Settling | None = None, cache: DocumentCache | None = None) -> Catalogue:
    """Reads every definition file below `path`. Files that have not changed since `previous` are not parsed again.

    A file that has become broken keeps the agents that it had in `previous`. If two definitions have the same id or number, the one
    that was served in `previous` wins, otherwise the one whose file comes first by relative path. With `settling`, changes that may
    be incomplete wait, and `settling.next_look` tells how long; without it, every file is taken as it is. With `cache`,
    contents that were valid before are neither parsed nor checked again.

    Raises DefinitionsUnreadable if there is no such folder.
    """
    earlier = previous.files if previous else {}
    if settling is not None:
        settling.begin()
    found, hidden = _find(path)
    with _collector_paused():
        files = {file: now for file in found if (now := _read_file(file, earlier.get(file), settling, cache))}
    for folder in hidden:  # the files of a folder that cannot be read are not gone
        files |= {file: known for file, known in earlier.items() if folder.source in file.parents}
    if settling is not None:
        files |= _kept_for_now(files, earlier, settling)
    if cache is not None:
        cache.trim()
    agents, clashes = _resolve_clashes(files.values(), previous)
    return Catalogue(agents, (*hidden, *(problem for file in files.values() for problem in file.problems), *clashes), files)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Nearly every new object stays, so cycle collections would find nothing and take a third of the time."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _kept_for_now(
    files: Mapping[Path, DefinitionFile], earlier: Mapping[Path, DefinitionFile], settling: Settling
) -> dict[Path, DefinitionFile]:
    """The last versions of the files that have lost agents and are not yet confirmed. Agents that moved to another file are not lost."""
    present = {agent.agent_id for file in files.values() for agent in file.agents}
    kept = {}
    for path, known in earlier.items():
        now = files.get(path)
        if now is known or present.issuperset(agent.agent_id for agent in known.agents):
            continue
        if not settling.is_confirmed(path, now.stamp if now else None):
            kept[path] = _without_moved(known, files)
    return kept


def _without_moved(known: DefinitionFile, files: Mapping[Path, DefinitionFile]) -> DefinitionFile:
    elsewhere = {agent.agent_id for path, file in files.items() if path != known.path for agent in file.agents}
    agents = tuple(agent for agent in known.agents if agent.agent_id not in elsewhere)
    return known if agents == known.agents else replace(known, agents=agents, stamp=None)


def _find(root: Path) -> tuple[list[Path], list[Problem]]:
    """The definition files below the folder in order of their relative paths, and the folders that cannot be read."""
    problems: list[Problem] = []
    try:
        files = _walk(root, problems, set())
    except OSError as error:
        advice = "set DEFINITIONS_PATH to a folder that this process can read"
        raise DefinitionsUnreadable(f"The definitions in '{root}' cannot be read: {_why(error)}; {advice}") from error
    return sorted(files, key=lambda file: file.relative_to(root).as_posix()), problems


def _walk(folder: Path, problems: list[Problem], seen: set[tuple[int, int]]) -> list[Path]:
    """Follows links to folders, which Kubernetes mounts consist of, but visits each folder once. Raises OSError for `folder`."""
    status = folder.stat()
    entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    if (status.st_dev, status.st_ino) in seen:
        return []
    seen.add((status.st_dev, status.st_ino))
    files: list[Path] = []
    for entry in entries:
        path = Path(entry.path)
        if entry.name.startswith("."):
            continue
        if _is_folder(entry):
            files += _walk_below(path, problems, seen)
        elif path.suffix.lower() in _PARSERS and entry.name not in _NOT_DEFINITIONS:
            files.append(path)
    return files


def _walk_below(folder: Path, problems: list[Problem], seen: set[tuple[int, int]]) -> list[Path]:
    try:
        return _walk(folder, problems, seen)
    except FileNotFoundError:  # gone since its parent was listed
        return []
    except OSError as error:
        problems.append(Problem(folder, f"this folder cannot be read: {_why(error)}; correct its permissions, or remove it"))
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether this is a folder or a link to one. `entry.is_dir()` would raise for a circular or forbidden link."""
    return entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and os.path.isdir(entry.path))


def _read_file(path: Path, earlier: DefinitionFile | None, settling: Settling | None, cache: DocumentCache | None) -> DefinitionFile | None:
    """The file as it is now. Returns `earlier` if the file has not changed or may still be changing, and None if it does not exist."""
    stamp = None
    try:
        status = path.stat()
        stamp = Stamp(status.st_mtime_ns, status.st_size, status.st_ino)
        if earlier and earlier.stamp == stamp:
            return earlier
        if settling is not None:
            if not settling.is_quiet(path, stamp):
                return earlier
        elif SYSTEM_CLOCK.time() - status.st_mtime < _CLOCK_GRAIN_SECONDS:
            stamp = None
        return DefinitionFile(path, stamp, _agents(path, _content(path, status), cache))
    except DefinitionBroken as broken:
        messages = broken.messages
    except Unparsable as broken:
        messages = [str(broken)]
    except OSError as error:
        if not os.path.lexists(path):
            return None
        messages = [f"the file cannot be read: {_why(error)}; correct its permissions or the link, or remove it"]
    return DefinitionFile(path, stamp, earlier.agents if earlier else (), tuple(Problem(path, message) for message in messages))


def _agents(path: Path, content: bytes, cache: DocumentCache | None) -> tuple[AgentDefinition, ...]:
    """The agents of a file's content. Raises Unparsable and DefinitionBroken."""
    kind = path.suffix.lower()
    if cache is not None and (entry := cache.find(content, kind)):
        return checked_agents_of(entry.document, entry.revisions, path)
    text = _text(content)
    document = _PARSERS[kind](text)
    agents = agents_of(document, text, path)
    if cache is not None:
        cache.add(content, kind, Entry(document, [agent.revision for agent in agents]))
    return agents


def _content(path: Path, status: os.stat_result) -> bytes:
    if not stat.S_ISREG(status.st_mode):
        raise Unparsable("this is not a regular file; remove it, or rename it so that it does not end in .yaml, .yml or .json")
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise Unparsable("the file is larger than 1 MiB; split the family into several files")
    return content


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Unparsable(f"line {line}: the text is not UTF-8; save the file as UTF-8") from None


def _resolve_clashes(files: Iterable[DefinitionFile], previous: Catalogue | None) -> tuple[tuple[AgentDefinition, ...], list[Problem]]:
    """Decides which definitions are served if several claim the same number: a number belongs to one agent, even if their ids differ."""
    claims = [agent for file in files for agent in file.agents]
    claims.sort(key=lambda agent: not _served(agent, previous))
    by_number: dict[int, AgentDefinition] = {}
    clashes = []
    for agent in claims:
        winner = by_number.setdefault(agent.number, agent)
        if winner is not agent:
            clashes.append((agent, winner))
    free = _free_numbers(by_number)
    return tuple(by_number.values()), [_clash(agent, winner, next(free)) for agent, winner in clashes]


def _served(agent: AgentDefinition, previous: Catalogue | None) -> bool:
    known = previous.find(agent.agent_id) if previous else None
    return known is not None and known.source == agent.source


def _free_numbers(taken: Mapping[int, AgentDefinition]) -> Iterator[int]:
    return (number for number in range(1, 2**31) if number not in taken)


def _clash(agent: AgentDefinition, winner: AgentDefinition, free: int) -> Problem:
    field = "agent_id" if agent.agent_id == winner.agent_id else "number"
    where = "earlier in this file" if winner.source == agent.source else f"in {winner.source}"
    advice = f"change the number at the end of its agent_id ({free} is free)"
    return Problem(agent.source, f"'{agent.agent_id}' is not served: its {field} is taken by '{winner.agent_id}' {where}; {advice}")


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
