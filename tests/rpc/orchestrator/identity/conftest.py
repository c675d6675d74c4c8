"""An orchestrator without agents, and users of it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import asyncpg
import grpc
import pytest
from agentmesh.common.v1 import access_pb2
from agentmesh.identity.v1 import identity_service_pb2 as pb
from agentmesh.identity.v1.identity_service_pb2_grpc import AuthServiceStub
from uuid_utils.compat import uuid7

from mesh.errors import RemoteError
from mesh.security.caller import Role
from orchestrator.adapters.identity.passwords import BcryptPasswords
from orchestrator.adapters.identity.store import PostgresIdentityStore
from orchestrator.adapters.postgres.engine import create_engine
from tests.adapters.orchestrator.looking import Connection
from tests.rpc.orchestrator.running import Orchestrator, documented_error, running_orchestrator
from tests.support.credentials import authorized

if TYPE_CHECKING:
    from agentmesh.identity.v1.identity_service_pb2_grpc import AuthServiceAsyncStub

PASSWORD = "correct horse battery"
READ, EXECUTE, MANAGE = access_pb2.ACCESS_SCOPE_READ, access_pb2.ACCESS_SCOPE_EXECUTE, access_pb2.ACCESS_SCOPE_MANAGE
EVERYTHING = (READ, EXECUTE, MANAGE)


async def error(call: Awaitable[Any]) -> RemoteError:
    """The error of a failed call."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    return documented_error(failed.value)


async def reason(call: Awaitable[Any]) -> str:
    return (await error(call)).reason


@dataclass
class Person:
    """A user with one session."""

    user_id: int
    username: str
    tokens: pb.LoginResponse
    channel: grpc.aio.Channel

    @property
    def auth(self) -> "AuthServiceAsyncStub":
        return self.by(self.tokens.access_token)

    def by(self, credential: str) -> "AuthServiceAsyncStub":
        """The AuthService, called with this credential."""
        return AuthServiceStub(authorized(self.channel, credential))

    async def log_in(self, password: str = PASSWORD) -> pb.LoginResponse:
        stub: AuthServiceAsyncStub = AuthServiceStub(self.channel)
        return await stub.Login(pb.LoginRequest(username=self.username, password=password))

    async def new_key(self, scopes: Sequence[Any] = EVERYTHING, by: str = "", **fields: Any) -> pb.CreateApiKeyResponse:
        """A new API key, created with the person's token or with the credential `by`."""
        stub = self.by(by) if by else self.auth
        return await stub.CreateApiKey(pb.CreateApiKeyRequest(name="a key", scopes=scopes, **fields))


NewPerson = Callable[..., Awaitable[Person]]


@pytest.fixture(scope="session")
async def accounts(tmp_path_factory: pytest.TempPathFactory, books_url: str, redis_url: str) -> AsyncIterator[Orchestrator]:
    async with running_orchestrator(tmp_path_factory.mktemp("accounts"), DATABASE_URL=books_url, REDIS_URL=redis_url) as orchestrator:
        yield orchestrator


@pytest.fixture
async def new_person(accounts: Orchestrator, books_url: str) -> AsyncIterator[NewPerson]:
    engine = create_engine(books_url, 1, 1)

    async def make(role: Role = Role.USER) -> Person:
        name = f"person.{uuid7().hex}"
        with BcryptPasswords(4) as passwords:
            async with passwords.turn("", ""):
                password_hash = await passwords.hash(PASSWORD)
        async with PostgresIdentityStore(engine, 1).begin() as work:
            user = await work.add_user(name, password_hash, role)
        assert user is not None
        tokens = await cast(Any, AuthServiceStub(accounts.anonymous)).Login(pb.LoginRequest(username=name, password=PASSWORD))
        return Person(user.user_id, name, tokens, accounts.anonymous)

    yield make
    await engine.dispose()


@pytest.fixture
async def ada(new_person: NewPerson) -> Person:
    return await new_person()


@pytest.fixture
async def admin(new_person: NewPerson) -> Person:
    return await new_person(Role.ADMIN)


@pytest.fixture
async def db(accounts: Orchestrator, books_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(books_url.replace("+asyncpg", ""))
    yield connection
    await connection.close()
