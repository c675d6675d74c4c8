"""The model provider of the installation (the simulator): its faults and its log."""

import hashlib
import json
from pathlib import Path
from typing import Any

import httpx

from tests.support.waiting import eventually

Entry = dict[str, Any]


class Provider:
    """Controls the simulator through its control endpoints, and reads its log file."""

    def __init__(self, http: httpx.AsyncClient, log: Path) -> None:
        self._http = http
        self._log = log

    async def fault(self, name: str, question: str, argument: int | None = None, count: int | None = None) -> None:
        """Inject the fault into requests that contain `question`: the next `count` of them, or all until `clear`."""
        rule = {"fault": name, "argument": argument, "count": count, "match": {"input_contains": question}}
        (await self._http.post("/control/faults", json=rule)).raise_for_status()

    async def clear(self) -> None:
        (await self._http.delete("/control/faults")).raise_for_status()

    async def active(self) -> int:
        """How many answers are in progress."""
        return int((await self._http.get("/control/active")).json()["active"])

    async def idle(self) -> bool:
        return await self.active() == 0

    def entries(self) -> list[Entry]:
        """Every entry of the log."""
        return [json.loads(line) for line in self._log.read_text().splitlines()] if self._log.exists() else []

    def purchases(self, question: str) -> list[Entry]:
        """The requests with exactly this question, in the order of their arrival."""
        digest = hashlib.sha256(question.encode()).hexdigest()
        return [entry for entry in self.entries() if entry["outcome"] == "started" and entry["input_sha256"] == digest]

    async def asked(self, question: str) -> Entry:
        """The first request with exactly this question, once it has arrived."""

        async def come() -> list[Entry]:
            return self.purchases(question)

        return (await eventually(come))[0]

    async def ended(self, execution_id: str) -> Entry:
        """The last entry of an execution's request, once its answer is complete or has broken off."""

        async def last() -> Entry | None:
            lines = [entry for entry in self.entries() if entry["execution_id"] == execution_id]
            return lines[-1] if lines and lines[-1]["outcome"] != "started" else None

        entry = await eventually(last)
        assert entry is not None
        return entry
