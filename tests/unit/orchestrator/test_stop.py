from orchestrator.executions.stop import StopSignal


def test_whoever_listens_hears_the_stop_once() -> None:
    stop, heard = StopSignal(), list[str]()
    with stop.calling(lambda: heard.append("stop")):
        assert heard == []
        stop.set()
        stop.set()
    assert heard == ["stop"]
    assert stop.is_set


def test_whoever_begins_to_listen_too_late_hears_it_at_once() -> None:
    stop, heard = StopSignal(), list[str]()
    stop.set()
    with stop.calling(lambda: heard.append("stop")):
        assert heard == ["stop"]
    assert heard == ["stop"]


def test_nobody_is_called_after_the_block() -> None:
    stop, heard = StopSignal(), list[str]()
    with stop.calling(lambda: heard.append("stop")):
        pass
    stop.set()
    assert heard == []


def test_a_block_that_fails_does_not_listen_any_more() -> None:
    stop, heard = StopSignal(), list[str]()
    try:
        with stop.calling(lambda: heard.append("stop")):
            raise LookupError
    except LookupError:
        stop.set()
    assert heard == []


def test_a_stop_that_nobody_listens_to_is_remembered() -> None:
    stop = StopSignal()
    stop.set()
    assert stop.is_set
