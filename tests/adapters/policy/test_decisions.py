"""The policy in process and the real OPA answer the same questions in the same way."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.adapters.policy.opa import OpaPolicy
from orchestrator.adapters.policy.regopy_engine import REMEMBERED_SECONDS, PolicyUnreadable, RegopyPolicy
from orchestrator.composition.settings import POLICY
from orchestrator.policy.model import Action, Question
from orchestrator.policy.ports import Policy
from tests.adapters.policy.cases import BOB, CASES, CLERK, Case
from tests.adapters.policy.conftest import OpaServer
from tests.support.clock import SetClock

each_case = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])


async def decides(policy: Policy, case: Case) -> None:
    assert await policy.allows(case.question) is (case.denial is None)
    assert await policy.denial(case.question) == case.denial


@each_case
async def test_the_policy_in_process_decides(case: Case, policy_folder: Path) -> None:
    await decides(RegopyPolicy(policy_folder), case)


@each_case
async def test_the_policy_in_opa_decides(case: Case, opa_server: OpaServer) -> None:
    async with OpaPolicy(opa_server.url, seconds=10) as policy:
        await decides(policy, case)


async def test_the_rules_pass_their_own_tests(opa: Path) -> None:
    for arguments in (("check", "--strict"), ("test",), ("fmt", "--fail", "--diff")):
        process = await asyncio.create_subprocess_exec(
            *(str(opa), *arguments, str(POLICY)), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output = (await process.communicate())[0].decode()
        assert process.returncode == 0, output


async def test_the_shipped_policy_restricts_nothing() -> None:
    case = next(case for case in CASES if case.question.agent == CLERK and case.question.caller == BOB)
    assert await RegopyPolicy(POLICY).allows(case.question)


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({}, "no \\*.rego file"),
        ({"agents.rego": "package agents\nallow {{{"}, "cannot be"),
        ({"agents.rego": "package agents\nimport rego.v1\nallow := true", "access.yaml": "[1, 2"}, "cannot be read"),
        (
            {"agents.rego": "package agents\nimport rego.v1\nallow := true", "a.yaml": "x: 1", "b.yaml": "x: 2"},
            "keys of the other files",
        ),
    ],
    ids=["no rules", "broken rules", "broken data", "data that contradicts itself"],
)
def test_a_folder_without_a_valid_policy_is_refused(tmp_path: Path, files: dict[str, str], complaint: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(PolicyUnreadable, match=complaint):
        RegopyPolicy(tmp_path)


async def test_a_grant_is_remembered_for_a_second_and_a_denial_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "agents.rego").write_text(
        "package agents\nimport rego.v1\ndefault allow := false\nallow if input.user.user_id == data.admitted\ndenial := {}"
    )
    (tmp_path / "access.yaml").write_text(f"admitted: {BOB.user_id}")
    clock = SetClock()
    policy, question = RegopyPolicy(tmp_path, clock), Question(BOB, Action.READ)
    assert await policy.allows(question)
    assert not await policy.allows(Question(replace(BOB, user_id=BOB.user_id + 1), Action.READ))
    monkeypatch.setattr(policy, "_ask", lambda *_: False)  # as with a rule that depends on the time
    assert await policy.allows(question)
    clock.advance(REMEMBERED_SECONDS)
    assert not await policy.allows(question)
