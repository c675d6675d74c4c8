from collections.abc import Iterable
from graphlib import TopologicalSorter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import Violation
from orchestrator.workflows.model import Task
from orchestrator.workflows.tasks.graph import predecessors, violations
from tests.unit.orchestrator.making import AGENT_ID

A = "marketing_copywriter_agent_1_201"


def task(task_id: str, *depends_on: str, input: str = "Do it.", agent_id: str = A) -> Task:
    return Task(task_id, agent_id, input, depends_on=depends_on)


def wrong(*tasks: Task) -> list[tuple[str, str]]:
    return [(one.field, one.description) for one in violations(tasks, {A, AGENT_ID}.__contains__)]


def fields(*tasks: Task) -> list[str]:
    return [field for field, _ in wrong(*tasks)]


def ref(task_id: str) -> str:
    return f"{{{{tasks.{task_id}.result}}}}"


def test_without_dependencies_each_task_follows_the_previous_one() -> None:
    assert predecessors([task("c"), task("a"), task("b")]) == {"c": (), "a": ("c",), "b": ("a",)}
    assert predecessors([task("a")]) == {"a": ()}


def test_any_dependency_makes_the_graph_explicit() -> None:
    assert predecessors([task("c"), task("a"), task("b", "c")]) == {"c": (), "a": (), "b": ("c",)}


def test_a_diamond_with_references_along_its_edges_is_valid() -> None:
    join = task("d", "b", "c", input=f"{ref('a')} {ref('b')} {ref('c')}")
    assert wrong(task("a"), task("b", "a", input=ref("a")), task("c", "a"), join) == []


def test_a_sequence_may_refer_to_every_earlier_task() -> None:
    assert wrong(task("a"), task("b"), task("c", input=ref("a") + ref("b"))) == []


def test_a_duplicate_task_id_is_refused() -> None:
    assert wrong(task("a"), task("b"), task("a")) == [
        ("tasks[2].id", "must be unique, but tasks[0] also has the id 'a'; rename one of them")
    ]


def test_an_unknown_dependency_is_refused_with_its_path() -> None:
    assert wrong(task("a"), task("b", "a", "x")) == [
        ("tasks[1].depends_on[1]", "no task of this workflow has the id 'x'; use the id of another task")
    ]


def test_a_task_cannot_depend_on_itself() -> None:
    assert wrong(task("a", "a")) == [("tasks[0].depends_on[0]", "task 'a' cannot depend on itself; remove it from depends_on")]


def test_an_unknown_agent_is_refused_with_its_name() -> None:
    ((field, description),) = wrong(task("a"), task("b", agent_id="nobody_agent_1_999"))
    assert field == "tasks[1].agent_id"
    assert "'nobody_agent_1_999'" in description
    assert "GET /api/v1/agents" in description


def test_a_cycle_is_shown_whole_at_the_dependency_that_closes_it() -> None:
    ((field, description),) = wrong(task("start"), task("a", "start", "c"), task("b", "a"), task("c", "b"))
    assert field == "tasks[2].depends_on[0]"
    assert "a → c → b → a" in description


def test_every_cycle_is_shown() -> None:
    assert fields(task("a", "b"), task("b", "a"), task("c", "d"), task("d", "c")) == ["tasks[1].depends_on[0]", "tasks[3].depends_on[0]"]


@pytest.mark.parametrize(
    ("tasks", "description"),
    [
        (
            [task("a"), task("b", input=ref("x"))],
            "{{tasks.x.result}}: no task of this workflow has the id 'x'; use the id of an earlier task",
        ),
        ([task("a", input=ref("b")), task("b")], "{{tasks.b.result}}: 'b' does not come before 'a'; list it earlier"),
        ([task("a"), task("b", input=ref("b"))], "{{tasks.b.result}}: a task cannot use its own result; refer to an earlier task"),
        (
            [task("a"), task("b", "c", input=ref("a")), task("c")],
            "{{tasks.a.result}}: 'a' does not come before 'b'; add 'a' to depends_on",
        ),
        ([task("a", input="{{tasks.b.answer}}")], "'{{tasks.b.answer}}' is not a valid reference; write {{tasks.<id>.result}}"),
    ],
)
def test_an_unresolvable_reference_is_refused(tasks: list[Task], description: str) -> None:
    ((field, violation),) = wrong(*tasks)
    assert violation == description
    assert tasks[int(field.removeprefix("tasks[").removesuffix("].input"))].input.find("{{") >= 0


def test_all_problems_are_reported_at_once() -> None:
    broken = [
        task("a", "a", "x", agent_id="nobody_agent_1_999"),
        task("a"),
        task("b", "c", input=ref("y") + ref("a")),
        task("c", "b"),
    ]
    assert fields(*broken) == [
        "tasks[0].agent_id",
        "tasks[0].depends_on[0]",
        "tasks[0].depends_on[1]",
        "tasks[1].id",
        "tasks[2].input",
        "tasks[2].input",
        "tasks[3].depends_on[0]",
    ]


IDS = ["a", "b", "c", "d", "e", "f"]


@st.composite
def graphs(draw: st.DrawFn) -> list[Task]:
    ids = draw(st.lists(st.sampled_from(IDS), min_size=1, unique=True))
    names = st.lists(st.sampled_from(ids), max_size=4, unique=True)
    return [task(one, *draw(names), input=" ".join(map(ref, draw(names))) or "x") for one in ids]


def order_of(tasks: list[Task]) -> Iterable[str]:
    return TopologicalSorter(predecessors(tasks)).static_order()


@given(graphs())
def test_a_valid_graph_has_an_order_that_resolves_every_reference(tasks: list[Task]) -> None:
    if violations(tasks, lambda _: True):
        return
    inputs = {one.id: one.input for one in tasks}
    done: set[str] = set()
    for task_id in order_of(tasks):
        assert all(f"tasks.{other}." not in inputs[task_id] or other in done for other in IDS)
        done.add(task_id)
    assert done == set(inputs)


@given(graphs())
def test_an_ordered_graph_without_references_is_valid(tasks: list[Task]) -> None:
    plain = [task(one.id, *one.depends_on) for one in tasks]
    try:
        list(order_of(plain))
    except ValueError:  # graphlib.CycleError
        assert violations(plain, lambda _: True)
    else:
        assert violations(plain, lambda _: True) == []


@given(graphs())
def test_removing_the_reported_dependencies_leaves_no_cycle(tasks: list[Task]) -> None:
    plain = [task(one.id, *one.depends_on) for one in tasks]
    named = {one.field for one in violations(plain, lambda _: True)}
    mended = [
        task(one.id, *(other for place, other in enumerate(one.depends_on) if f"tasks[{at}].depends_on[{place}]" not in named))
        for at, one in enumerate(plain)
    ]
    assert violations(mended, lambda _: True) == []


@pytest.mark.slow
def test_the_largest_and_densest_graph_is_validated_fast() -> None:
    ids = [f"t{number}" for number in range(100)]
    found = violations([task(one, *(other for other in ids if other != one)) for one in ids], lambda _: True)
    assert len(found) == 100 * 99 / 2
    assert isinstance(found[0], Violation)
