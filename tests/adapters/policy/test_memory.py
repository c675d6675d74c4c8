"""The memory of the in-process policy, which answers every call for months."""

import subprocess
import sys

ASK = """
import asyncio
import orchestrator.composition.orchestrator  # what a process loads, in the order in which it does
import psutil
from mesh.security.caller import Caller
from orchestrator.adapters.policy.regopy_engine import RegopyPolicy
from orchestrator.policy.model import Action, PolicyAgent, Question
from orchestrator.composition.settings import POLICY

async def main():
    policy, process = RegopyPolicy(POLICY), psutil.Process()
    agent = PolicyAgent("a_b_agent_1_1", "a", "b")
    for round in range(3):
        for user in range(2000):
            assert await policy.allows(Question(Caller(round * 2000 + user, "ada"), Action.EXECUTE, agent))
        if round == 0:
            before = process.memory_info().rss
    print(process.memory_info().rss - before)

asyncio.run(main())
"""


def test_decisions_leak_no_memory() -> None:
    """4,000 questions; the bug that this guards against left 8 MB."""
    asked = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, timeout=100, check=False)
    assert asked.returncode == 0, asked.stderr
    assert int(asked.stdout) < 2_000_000
