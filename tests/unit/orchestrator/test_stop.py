from orchestrator.executions.stop import StopSignal


def test_each_callback_is_called_once_on_stop() -> None:
    stop, calls = StopSignal(), list[str]()
    with stop.calling(lambda: calls.append("stop")):
        assert calls == []
        stop.set()
        stop.set()
    assert calls == ["stop"]
    assert stop.is_set


def test_a_callback_registered_after_the_stop_is_called_at_once() -> None:
    stop, calls = StopSignal(), list[str]()
    stop.set()
    with stop.calling(lambda: calls.append("stop")):
        assert calls == ["stop"]
    assert calls == ["stop"]


def test_a_callback_is_not_called_after_its_block() -> None:
    stop, calls = StopSignal(), list[str]()
    with stop.calling(lambda: calls.append("stop")):
        pass
    stop.set()
    assert calls == []


def test_a_failed_block_unregisters_its_callback() -> None:
    stop, calls = StopSignal(), list[str]()
    try:
        with stop.calling(lambda: calls.append("stop")):
            raise LookupError
    except LookupError:
        stop.set()
    assert calls == []


def test_a_stop_without_callbacks_is_remembered() -> None:
    stop = StopSignal()
    stop.set()
    assert stop.is_set
