"""A user's session with one server: the credential, its renewal, and calls that are repeated where that is safe."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from gateway.cli.errors import CliError
from gateway.cli.exits import Exit
from gateway.cli.profiles import Profile, Profiles
from mesh.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    import grpc
    from google.protobuf.message import Message

    Q = TypeVar("Q", bound=Message)
    A = TypeVar("A", bound=Message)
    S = TypeVar("S")

ATTEMPTS = 3
LONGEST_WAIT_SECONDS = 5.0
"""The longest retry delay that a call waits for; a longer one is reported to the user instead."""
MARGIN_SECONDS = 60.0
"""An access token that expires sooner is replaced before it is used."""
CALL_SECONDS = 60.0


class Paged(Protocol):
    """A request for one page."""

    page_size: int
    page_token: str


@dataclass
class Session:
    """Calls of one command. With `api_key`, which is not stored, the profile's credential is ignored."""

    profiles: Profiles
    profile: Profile
    server: str
    api_key: str = ""
    ca_file: str = ""
    trace: Callable[[str], None] | None = None
    _channel: "grpc.Channel | None" = None

    def stub(self, kind: "Callable[[grpc.Channel], S]") -> "S":
        """A stub of a service."""
        from gateway.cli.connection import open_channel

        if self._channel is None:
            self._channel = open_channel(self.server, self.ca_file, self.trace)
        return kind(self._channel)

    def ask(
        self, method: "grpc.UnaryUnaryMultiCallable[Q, A]", request: "Q", seconds: float = CALL_SECONDS, *, open_to_all: bool = False
    ) -> "A":
        """The answer to a call.

        UNAVAILABLE means that nothing was bought, so such a call is repeated twice if the platform says that this can help. An
        expired access token is replaced once. Raises CliError.
        """
        import grpc

        from gateway.cli.connection import failure

        for attempt in range(1, ATTEMPTS + 1):
            used = None if open_to_all else self.credential()
            try:
                return method(request, timeout=seconds, metadata=_bearer(used))
            except grpc.RpcError as error:
                if not (attempt < ATTEMPTS and self._can_repeat(error, used, attempt)):
                    raise failure(error, self.server) from None
        raise AssertionError("unreachable")

    def follow(self, method: "grpc.UnaryStreamMultiCallable[Q, A]", request: "Q", seconds: float | None = None) -> "Iterator[A]":
        """The messages of a stream. Raises grpc.RpcError when it breaks; the caller knows whether it can resume."""
        import grpc

        used = self.credential()
        try:
            yield from _received(method(request, timeout=seconds, metadata=_bearer(used)))
        except grpc.RpcError as error:
            if not (self._expired(error) and self._renewed(used)):
                raise
            yield from _received(method(request, timeout=seconds, metadata=_bearer(self.credential())))

    def pages(self, method: "grpc.UnaryUnaryMultiCallable[Any, A]", request: Paged, items: str, limit: int) -> "A":
        """Up to `limit` items from as many pages as needed, in one response whose `next_page_token` continues after them."""
        collected: Any = None
        while True:
            got = len(getattr(collected, items)) if collected is not None else 0
            request.page_size = min(limit - got, 200)
            page: Any = self.ask(method, request)
            if collected is None:
                collected = page
            else:
                getattr(collected, items).extend(getattr(page, items))
                collected.next_page_token = page.next_page_token
            if not page.next_page_token or len(getattr(collected, items)) >= limit:
                return collected  # type: ignore[no-any-return]
            request.page_token = page.next_page_token

    def credential(self) -> str:
        """The credential to send: one that is valid for the next minute if the session can be continued. Raises CliError."""
        if self.api_key:
            return self.api_key
        profile = self.profile
        if not profile.logged_in:
            advice = "run `agentmesh login`, or set AGENTMESH_API_KEY"
            raise CliError(f"not logged in to {self.server} (profile '{profile.name}')", advice, Exit.NOT_LOGGED_IN)
        if profile.server.rstrip("/") != self.server.rstrip("/"):  # a credential is sent only to the server that issued it
            message = f"the profile '{profile.name}' is logged in to {profile.server}, not to {self.server}"
            advice = f"run `agentmesh --profile NAME --server {self.server} login`"
            raise CliError(message, advice, Exit.NOT_LOGGED_IN)
        if profile.access_token and profile.expires_at - SYSTEM_CLOCK.time() < MARGIN_SECONDS:
            self._renewed(profile.access_token)
        return self.profile.api_key or self.profile.access_token

    def _can_repeat(self, error: "grpc.RpcError", used: str | None, attempt: int) -> bool:
        import grpc

        from mesh.rpc.status import error_of, retryable

        if used is not None and self._expired(error):
            return self._renewed(used)
        known = error_of(error)
        if known is None or error.code() is not grpc.StatusCode.UNAVAILABLE or not retryable(known):
            return False
        wait = known.retry_after_seconds or 0.2 * 2**attempt
        if wait > LONGEST_WAIT_SECONDS:
            return False
        time.sleep(wait)
        return True

    def _expired(self, error: "grpc.RpcError") -> bool:
        from gateway.cli.connection import reason_of

        return not self.api_key and bool(self.profile.refresh_token) and reason_of(error) == "AUTH_TOKEN_EXPIRED"

    def _renewed(self, used: str) -> bool:
        """Replaces the access token `used`. A refresh token works once, so one process does it and the others take its tokens."""
        with self.profiles.locked(self.profile.name):
            self.profile = self.profiles.load(self.profile.name)
            if not self.profile.logged_in:
                raise CliError("this session was ended by another command", "run `agentmesh login`", Exit.NOT_LOGGED_IN)
            if self.profile.access_token == used:
                self._renew()
        return self.profile.access_token != used

    def _renew(self) -> None:
        from agentmesh.identity.v1 import identity_service_pb2 as pb
        from agentmesh.identity.v1.identity_service_pb2_grpc import AuthServiceStub

        request = pb.RefreshTokenRequest(refresh_token=self.profile.refresh_token)
        try:
            answer = self.ask(self.stub(AuthServiceStub).RefreshToken, request, open_to_all=True)
        except CliError as error:
            if error.code is not Exit.NOT_LOGGED_IN:
                raise
            self.profiles.save(self.profile.without_credentials())
            raise CliError("the session has expired", "run `agentmesh login`", Exit.NOT_LOGGED_IN) from None
        self.profile = self.profile.with_tokens(answer.access_token, answer.refresh_token, answer.expires_in)
        self.profiles.save(self.profile)


def _bearer(credential: str | None) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {credential}"),) if credential else ()


def _received(call: Any) -> Iterator[Any]:
    """The messages of a stream, which ends when the reader stops reading."""
    try:
        yield from call
    finally:
        call.cancel()
