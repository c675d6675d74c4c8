from mesh.limits.admission import FEWEST, MOST, WATCHED, Admission, Slot, adopt, begun


class Door:
    """Admission with a clock that goes when the test says so, and one call that waits and waits: the queue never runs dry."""

    def __init__(self) -> None:
        self.now = 100.0
        self.control = Admission(target_seconds=0.25, clock=lambda: self.now)
        self.last = self.control.enter()

    def pass_through(self, calls: int, wait: float, every: float) -> None:
        """Calls that begin one after the other, each after such a wait."""
        for _ in range(calls):
            slot = self.control.enter()
            self.now += every
            slot._since = self.now - wait
            slot.begun()

    def capacity(self) -> int:
        """How many may wait now."""
        return len(fill(self.control)) + 1


def fill(control: Admission) -> list[Slot]:
    """Lets in as many as are let in."""
    slots = []
    while control.admits():
        slots.append(control.enter())
    return slots


def test_at_rest_a_thousand_may_come_at_once() -> None:
    assert len(fill(Admission(clock=lambda: 100.0))) == MOST


def test_a_call_that_has_begun_makes_room_once() -> None:
    control = Admission(clock=lambda: 100.0)
    slots = fill(control)
    slots[0].begun()
    slots[0].begun()
    assert len(fill(control)) == 1


def test_a_queue_that_stands_is_cut_to_what_begins_within_the_target() -> None:
    door = Door()
    door.pass_through(calls=2_000, wait=0.4, every=0.001)
    assert door.capacity() in range(225, 275)  # a thousand begin in a second


def test_a_slow_machine_has_a_queue_too() -> None:
    door = Door()
    door.pass_through(calls=20, wait=2.0, every=0.1)
    assert door.capacity() == FEWEST


def test_one_call_that_did_not_wait_shows_that_no_queue_stands() -> None:
    """A host that hangs makes its own calls wait, and nobody is turned away for that."""
    door = Door()
    for _ in range(100):
        door.pass_through(calls=20, wait=5.0, every=0.01)
        door.pass_through(calls=1, wait=0.0, every=0.001)
    assert door.capacity() == MOST


def test_calls_that_are_passed_on_wait_no_longer_but_for_one_in_eight_that_stands_for_the_others() -> None:
    control = Admission(clock=lambda: 100.0)
    slots = fill(control)
    watched = [slot for slot in slots if slot.pass_on()]
    assert len(watched) == MOST / WATCHED
    assert [slot.has_begun for slot in slots].count(False) == len(watched)
    assert not control.admits()
    watched[0].begun()
    assert len(fill(control)) == WATCHED


def test_the_queue_at_the_agents_is_found_by_the_calls_that_are_watched() -> None:
    door = Door()
    for _ in range(2_000 // WATCHED):  # a thousand begin in a second
        slots = [door.control.enter() for _ in range(WATCHED)]
        [watched] = [slot for slot in slots if slot.pass_on()]
        door.now += 0.001 * WATCHED
        watched._since = door.now - 0.4
        watched.begun()
    assert door.capacity() in range(225, 275)


def test_after_an_overload_more_and_more_are_let_in() -> None:
    door = Door()
    door.pass_through(calls=100, wait=1.0, every=0.01)
    door.pass_through(calls=10_000, wait=0.01, every=0.01)
    assert door.capacity() == MOST


def test_an_overload_is_forgotten_when_nobody_waits_any_more() -> None:
    door = Door()
    door.pass_through(calls=100, wait=1.0, every=0.01)
    door.last.begun()
    door.control.enter()
    assert door.capacity() == MOST


def test_the_call_of_this_task_has_begun() -> None:
    control = Admission(clock=lambda: 100.0)
    slots = fill(control)
    begun()  # outside a call: nothing to say
    assert not control.admits()
    adopt(slots[0])
    begun()
    assert control.admits()
