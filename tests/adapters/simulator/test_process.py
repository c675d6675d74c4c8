"""The process: how it starts, what prevents its start, and how it stops."""

import asyncio
import json
import signal
import socket
import time
from pathlib import Path

import aiohttp
import pytest
from anthropic import APIConnectionError, AsyncAnthropic

from tests.adapters.simulator.conftest import port_of, start_simulator
from tests.support.waiting import eventually


async def test_the_process_reports_its_port_and_is_healthy(tmp_path: Path) -> None:
    process, ready = await start_simulator(tmp_path, SIMULATOR_DELAY_MS="1", SIMULATOR_TRICKLE_MS="2")
    port = await port_of(ready)
    assert process.stdout is not None
    assert json.loads(await process.stdout.readline()) == {"port": port}
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
        async with http.get("/healthz") as response:
            assert await response.json() == {"status": "ok"}
        async with http.post("/control/defaults", json={}) as response:
            assert await response.json() == {"delay_ms": 1, "trickle_ms": 2}
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_sigterm_ends_the_process_at_once_with_a_complete_log(tmp_path: Path, number: signal.Signals) -> None:
    process, ready = await start_simulator(tmp_path)
    url = f"http://127.0.0.1:{await port_of(ready)}"
    async with AsyncAnthropic(base_url=url, api_key="any", max_retries=0) as client:
        call = asyncio.create_task(client.messages.create(model="sim-hang", max_tokens=9, messages=[{"role": "user", "content": "x"}]))
        log = tmp_path / "log.jsonl"

        async def begun() -> bool:
            return log.stat().st_size > 0

        await eventually(begun)
        signalled_at = time.monotonic()
        process.send_signal(number)
        assert await process.wait() == 0
        assert time.monotonic() - signalled_at < 2
        with pytest.raises(APIConnectionError):
            await call
    assert [json.loads(line)["outcome"] for line in log.read_text().splitlines()] == ["started", "cut"]


async def test_the_log_of_an_earlier_run_is_kept_and_entries_survive_a_kill(tmp_path: Path) -> None:
    for _ in range(2):
        (tmp_path / "ready.json").unlink(missing_ok=True)
        process, ready = await start_simulator(tmp_path)
        url = f"http://127.0.0.1:{await port_of(ready)}"
        async with AsyncAnthropic(base_url=url, api_key="any") as client:
            await client.messages.create(model="claude-sonnet-5-5", max_tokens=9, messages=[{"role": "user", "content": "x"}])
        process.kill()
        await process.wait()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["outcome"] for line in lines if line["outcome"] == "started"] == ["started"] * 2
    assert len({line["request_id"] for line in lines}) == 2


async def test_a_port_in_use_is_reported_on_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process, _ = await start_simulator(tmp_path, SIMULATOR_PORT=str(port))
        _, errors = await process.communicate()
    assert process.returncode == 1
    assert str(port) in errors.decode()
    assert len(errors.decode().splitlines()) == 1


async def test_invalid_settings_are_reported_on_one_line(tmp_path: Path) -> None:
    process, _ = await start_simulator(tmp_path, SIMULATOR_PORT="many")
    _, errors = await process.communicate()
    assert process.returncode == 2
    assert errors.decode().startswith("simulator: invalid settings: SIMULATOR_PORT")
    assert len(errors.decode().splitlines()) == 1
