from orchestrator.executions.stop import StopSignal


def test_each_callback_is_called_once_on_stop() -> None:
    stop, heard = StopSignal(), list[str]()
    with stop.calling(lambda: heard.append("stop")):
        assert heard == []
        stop.set()
        stop.set()
    assert heard == ["stop"]
    assert stop.is_set


def test_a_callback_registered_after_the_stop_is_called_at_once() -> None:
    stop, heard = StopSignal(), list[str]()
    stop.set()
    with stop.calling(lambda: heard.append("stop")):
        assert heard == ["stop"]
    assert heard == ["stop"]


def test_a_callback_is_not_called_after_its_block() -> None:
    stop, heard = StopSignal(), list[str]()
    with stop.calling(lambda: heard.append("stop")):
        pass
    stop.set()
    assert heard == []


def test_a_failed_block_unregisters_its_callback() -> None:
    stop, heard = StopSignal(), list[str]()
    try:
        with stop.calling(lambda: heard.append("stop")):
            raise LookupError
    except LookupError:
        stop.set()
    assert heard == []


def test_a_stop_without_callbacks_is_remembered() -> None:
    stop = StopSignal()
    stop.set()
    assert stop.is_set
