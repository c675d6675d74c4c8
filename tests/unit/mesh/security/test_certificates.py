"""Certificates in a folder: which ones are loaded, which are ignored, and which the development authority creates."""

import asyncio
import stat
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from cryptography import x509

from deploy.local.secrets.call_keys import CallKeys
from deploy.local.secrets.certs import DevelopmentAuthority, main
from mesh.clock import SYSTEM_CLOCK
from mesh.errors import CannotStart
from mesh.rpc.channel import ChannelPool
from mesh.security import keys
from mesh.security.certificates import CERTIFICATE, KEY, LOOK_SECONDS, ROOTS, TlsFolder, identities_of
from mesh.security.identities import AGENT_HOST, GATEWAY, ORCHESTRATOR, SERVICES, server_name, service_of
from mesh.security.tls import ClientTls
from mesh.tasks import BackgroundTasks
from tests.support.clock import SetClock


@pytest.fixture
def authority(tmp_path: Path) -> DevelopmentAuthority:
    return DevelopmentAuthority(tmp_path)


@pytest.fixture
def check_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes every access check the files, instead of one check a second."""
    monkeypatch.setattr("mesh.security.certificates.LOOK_SECONDS", 0)


def test_unchanged_files_are_not_read_again(authority: DevelopmentAuthority, check_every_time: None) -> None:
    folder = TlsFolder(authority.issue(ORCHESTRATOR), ORCHESTRATOR)
    assert folder.current() is folder.current()


def test_new_files_are_loaded(authority: DevelopmentAuthority, check_every_time: None) -> None:
    folder = TlsFolder(authority.issue(ORCHESTRATOR), ORCHESTRATOR)
    before = folder.current()
    path = authority.issue(ORCHESTRATOR)
    assert folder.current() is not before
    assert folder.current().chain == (path / CERTIFICATE).read_bytes()


@pytest.mark.parametrize("broken", [ROOTS, CERTIFICATE, KEY])
@pytest.mark.parametrize("how", ["missing", "garbled"])
def test_unusable_files_are_ignored_until_they_are_correct(
    authority: DevelopmentAuthority, check_every_time: None, broken: str, how: str
) -> None:
    path = authority.issue(ORCHESTRATOR)
    folder = TlsFolder(path, ORCHESTRATOR)
    before, text = folder.current(), (path / broken).read_bytes()
    if how == "missing":
        (path / broken).unlink()
    else:
        (path / broken).write_text("-----BEGIN CERTIFICATE-----\nhalf")
    assert folder.current() is before
    (path / broken).write_bytes(text)
    assert folder.current() == before
    with_more = authority.issue(ORCHESTRATOR)
    assert folder.current().chain == (with_more / CERTIFICATE).read_bytes()


@pytest.mark.parametrize(
    ("identity", "lifetime", "message"),
    [
        (GATEWAY, timedelta(days=1), f"is for {GATEWAY}, not for {ORCHESTRATOR}"),
        (ORCHESTRATOR, timedelta(minutes=-1), "tls.crt expired at"),
    ],
    ids=["another service", "expired"],
)
def test_an_unusable_certificate_is_refused(authority: DevelopmentAuthority, identity: str, lifetime: timedelta, message: str) -> None:
    path = authority.issue(identity, lifetime=lifetime)
    with pytest.raises(CannotStart) as refused:
        TlsFolder(path, ORCHESTRATOR)
    assert message in refused.value.message
    assert "\n" not in refused.value.message


def test_the_command_creates_a_certificate_for_every_service_and_keeps_the_authority(tmp_path: Path) -> None:
    main([str(tmp_path)])
    root = (tmp_path / ROOTS).read_bytes()
    main([str(tmp_path), "--host", "agents.example.com"])
    assert (tmp_path / ROOTS).read_bytes() == root
    for identity in SERVICES:
        folder = tmp_path / service_of(identity)
        certificate = x509.load_pem_x509_certificate((folder / CERTIFICATE).read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert identities_of(certificate) == [identity]
        assert {server_name(identity), "localhost", "agents.example.com"} <= set(names.get_values_for_type(x509.DNSName))
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(root))
        TlsFolder(folder, identity)
    for secret in (tmp_path / "ca.key", tmp_path / service_of(AGENT_HOST) / KEY):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_a_stack_keeps_its_call_token_keys_readable_only_by_the_owner(tmp_path: Path) -> None:
    pair = CallKeys(tmp_path / "keys")
    pair.make()
    private = pair.private.read_text()
    pair.public.unlink()
    pair.make()
    assert pair.private.read_text() == private
    assert pair.public.read_text() == keys.public_pem(keys.read_private(private))
    assert {stat.S_IMODE(path.stat().st_mode) for path in (pair.private, pair.public)} == {0o600}


async def test_a_retired_channel_whose_task_dies_is_reported(authority: DevelopmentAuthority) -> None:
    clock, tasks = SetClock(begin=SYSTEM_CLOCK.time()), BackgroundTasks()
    authority.issue(ORCHESTRATOR)
    pool = ChannelPool(tasks, ClientTls(TlsFolder(authority.folder_of(ORCHESTRATOR), ORCHESTRATOR, clock), AGENT_HOST))
    pool.get("127.0.0.1:1")
    authority.issue(ORCHESTRATOR)
    clock.advance(LOOK_SECONDS)
    assert pool.generation == 1
    [retired] = [task for task in asyncio.all_tasks() if task.get_name() == "retired channel"]
    retired.cancel()
    await asyncio.wait_for(tasks.stopping.wait(), 5)
    assert tasks.failure is not None
    assert tasks.failure.name == "retired channel"
    await pool.close()


async def test_closing_a_pool_closes_its_retired_channels_without_a_failure(authority: DevelopmentAuthority) -> None:
    clock, tasks = SetClock(begin=SYSTEM_CLOCK.time()), BackgroundTasks()
    authority.issue(ORCHESTRATOR)
    pool = ChannelPool(tasks, ClientTls(TlsFolder(authority.folder_of(ORCHESTRATOR), ORCHESTRATOR, clock), AGENT_HOST))
    retired = pool.get("127.0.0.1:1")
    authority.issue(ORCHESTRATOR)
    clock.advance(LOOK_SECONDS)
    assert pool.get("127.0.0.1:1") is not retired
    await pool.close()
    assert retired.get_state() is grpc.ChannelConnectivity.SHUTDOWN
    assert tasks.failure is None
