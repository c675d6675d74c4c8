"""The order of tasks, and whether tasks form a valid workflow."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from mesh.errors import Violation
from orchestrator.workflows.model import Task
from orchestrator.workflows.tasks import templates

Predecessors = Mapping[str, Sequence[str]]


def is_sequence(tasks: Sequence[Task]) -> bool:
    """Returns whether the tasks run in the order in which they are listed, because no task has `depends_on`."""
    return not any(task.depends_on for task in tasks)


def predecessors(tasks: Sequence[Task]) -> Predecessors:
    """Returns the tasks that must complete before each task can begin, by task id."""
    if is_sequence(tasks):
        before = [(), *((task.id,) for task in tasks)]
        return {task.id: one for task, one in zip(tasks, before, strict=False)}
    return {task.id: task.depends_on for task in tasks}


def violations(tasks: Sequence[Task], agent_exists: Callable[[str], bool]) -> list[Violation]:
    """Returns every violation in the order of the tasks; an empty list if the workflow is valid."""
    places: dict[str, int] = {}
    for place, task in enumerate(tasks):
        places.setdefault(task.id, place)
    named = [tasks[place] for place in places.values()]
    comes_before = _closure(named)
    found: list[Violation] = []
    for place, task in enumerate(tasks):
        path = f"tasks[{place}]"
        if places[task.id] != place:
            found.append(
                Violation(f"{path}.id", f"must be unique, but tasks[{places[task.id]}] also has the id '{task.id}'; rename one of them")
            )
        if not agent_exists(task.agent_id):
            found.append(Violation(f"{path}.agent_id", f"no agent has the id '{task.agent_id}'; GET /api/v1/agents lists the agents"))
        found += _bad_dependencies(path, task, places)
        found += _bad_references(path, task, places, comes_before, is_sequence(tasks))
    return found + list(_cycles(named, places))


def _bad_dependencies(path: str, task: Task, places: Mapping[str, int]) -> Iterator[Violation]:
    for place, other in enumerate(task.depends_on):
        if other == task.id:
            yield Violation(f"{path}.depends_on[{place}]", f"task '{other}' cannot depend on itself; remove it from depends_on")
        elif other not in places:
            yield Violation(f"{path}.depends_on[{place}]", f"no task of this workflow has the id '{other}'; use the id of another task")


def _bad_references(
    path: str, task: Task, places: Mapping[str, int], comes_before: Mapping[str, set[str]], sequence: bool
) -> Iterator[Violation]:
    for text in templates.malformed(task.input):
        yield Violation(f"{path}.input", f"'{text}' is not a valid reference; write {{{{tasks.<id>.result}}}}")
    for other in templates.references(task.input):
        named = f"{{{{tasks.{other}.result}}}}"
        if other not in places:
            yield Violation(f"{path}.input", f"{named}: no task of this workflow has the id '{other}'; use the id of an earlier task")
        elif other == task.id:
            yield Violation(f"{path}.input", f"{named}: a task cannot use its own result; refer to an earlier task")
        elif other not in comes_before[task.id]:
            way = "list it earlier" if sequence else f"add '{other}' to depends_on"
            yield Violation(f"{path}.input", f"{named}: '{other}' does not come before '{task.id}'; {way}")


def _closure(tasks: Sequence[Task]) -> Mapping[str, set[str]]:
    """Returns all direct and indirect predecessors of each task."""
    direct = predecessors(tasks)
    closure: dict[str, set[str]] = {}
    for task_id, needed in direct.items():
        before: set[str] = set()
        ahead = list(needed)
        while ahead:
            other = ahead.pop()
            if other in direct and other not in before:
                before.add(other)
                ahead += direct[other]
        closure[task_id] = before
    return closure


def _cycles(tasks: Sequence[Task], places: Mapping[str, int]) -> Iterator[Violation]:
    """Yields a violation for each dependency that closes a cycle. Without those dependencies there is no cycle."""
    done: set[str] = set()
    by_id = {task.id: task for task in tasks}

    def visit(task: Task, way: tuple[str, ...]) -> Iterator[Violation]:
        for place, other in enumerate(task.depends_on):
            if other == task.id or other in done or other not in by_id:
                continue
            if other in way:
                cycle = " → ".join((*way[way.index(other) :], other))
                description = f"closes a cycle, so none of its tasks could begin: {cycle} (each depends on the next); remove one"
                yield Violation(f"tasks[{places[task.id]}].depends_on[{place}]", description)
            else:
                yield from visit(by_id[other], (*way, other))
        done.add(task.id)

    for task in tasks:
        if task.id not in done:
            yield from visit(task, (task.id,))
