from mesh.limits.admission import FEWEST, MOST, WATCHED, Admission, Slot, adopt, begun
from tests.support.clock import SetClock


class Scenario:
    """Admission with a clock that the test advances, and one call that waits all the time, so that the queue is never empty."""

    def __init__(self) -> None:
        self.clock = SetClock()
        self.control = Admission(target_seconds=0.25, clock=self.clock)
        self.last = self.control.enter()

    def pass_through(self, calls: int, wait: float, every: float) -> None:
        """Calls that start one after the other, each after waiting `wait` seconds."""
        for _ in range(calls):
            slot = self.control.enter()
            self.clock.advance(every)
            slot._since = self.clock.monotonic() - wait
            slot.begun()

    def capacity(self) -> int:
        """The number of calls that may wait now."""
        return len(fill(self.control)) + 1


def fill(control: Admission) -> list[Slot]:
    """Enter as many calls as are admitted."""
    slots = []
    while control.admits():
        slots.append(control.enter())
    return slots


def test_an_idle_process_admits_a_thousand_calls() -> None:
    assert len(fill(Admission(clock=SetClock()))) == MOST


def test_a_started_call_frees_one_place() -> None:
    control = Admission(clock=SetClock())
    slots = fill(control)
    slots[0].begun()
    slots[0].begun()
    assert len(fill(control)) == 1


def test_a_standing_queue_is_cut_to_what_starts_within_the_target() -> None:
    door = Scenario()
    door.pass_through(calls=2_000, wait=0.4, every=0.001)
    assert door.capacity() in range(225, 275)  # a thousand calls start per second


def test_a_slow_machine_keeps_a_minimum_queue() -> None:
    door = Scenario()
    door.pass_through(calls=20, wait=2.0, every=0.1)
    assert door.capacity() == FEWEST


def test_one_call_that_did_not_wait_proves_that_there_is_no_standing_queue() -> None:
    """An agent host that hangs makes only its own calls wait; no other call is refused because of it."""
    door = Scenario()
    for _ in range(100):
        door.pass_through(calls=20, wait=5.0, every=0.01)
        door.pass_through(calls=1, wait=0.0, every=0.001)
    assert door.capacity() == MOST


def test_forwarded_calls_stop_waiting_except_one_in_eight_that_is_sampled() -> None:
    control = Admission(clock=SetClock())
    slots = fill(control)
    watched = [slot for slot in slots if slot.pass_on()]
    assert len(watched) == MOST / WATCHED
    assert [slot.has_begun for slot in slots].count(False) == len(watched)
    assert not control.admits()
    watched[0].begun()
    assert len(fill(control)) == WATCHED


def test_sampled_calls_reveal_a_queue_at_the_agents() -> None:
    door = Scenario()
    for _ in range(2_000 // WATCHED):  # a thousand calls start per second
        slots = [door.control.enter() for _ in range(WATCHED)]
        [watched] = [slot for slot in slots if slot.pass_on()]
        door.clock.advance(0.001 * WATCHED)
        watched._since = door.clock.monotonic() - 0.4
        watched.begun()
    assert door.capacity() in range(225, 275)


def test_admission_grows_again_after_an_overload() -> None:
    door = Scenario()
    door.pass_through(calls=100, wait=1.0, every=0.01)
    door.pass_through(calls=10_000, wait=0.01, every=0.01)
    assert door.capacity() == MOST


def test_an_empty_queue_ends_an_overload() -> None:
    door = Scenario()
    door.pass_through(calls=100, wait=1.0, every=0.01)
    door.last.begun()
    door.control.enter()
    assert door.capacity() == MOST


def test_begun_marks_the_call_of_the_current_task() -> None:
    control = Admission(clock=SetClock())
    slots = fill(control)
    begun()  # outside a call it does nothing
    assert not control.admits()
    adopt(slots[0])
    begun()
    assert control.admits()


def test_known_callers_find_a_quarter_more_room() -> None:
    control = Admission(clock=SetClock())
    fill(control)
    known = 0
    while control.admits_known():
        control.enter()
        known += 1
    assert (known, control.admits()) == (MOST // 4, False)
