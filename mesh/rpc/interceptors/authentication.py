"""Authenticates callers before anything else is done for a call."""

import re
from collections.abc import AsyncIterator, Iterable
from functools import partial
from typing import Any, Protocol

from google.protobuf.message import Message

from mesh.rpc.access import Access, access_of
from mesh.rpc.interceptors.behaviour import BehaviourInterceptor, Context, Stream, Unary, metadata_value, metadata_values
from mesh.rpc.interceptors.failed_credentials import FailedCredentials
from mesh.rpc.peer import Peers
from mesh.security import caller
from mesh.security.caller import Caller
from mesh.security.errors import InvalidCredentials

AUTHORIZATION, API_KEY = "authorization", "x-api-key"
ASK_KEY, ACCEPTED_KEY = "x-mesh-ask", "x-mesh-accepted"
"""Metadata in which the gateway names a credential by its hash, and in which it learns that the credential was accepted."""
_BEARER = re.compile(r"(?i:bearer) +([A-Za-z0-9._~+/-]+=*)")
_KEY = re.compile(r"amk_[A-Za-z0-9_-]+")


class Authenticator(Protocol):
    async def authenticate(self, credential: str) -> Caller:
        """The caller that an access token or an API key proves.

        Raises InvalidCredentials, TokenExpired, TokenRevoked, or ServiceUnavailable if the credential cannot be looked up.
        """
        ...


class Authentication(BehaviourInterceptor):
    """Sets the caller of every rpc that needs a credential; refuses calls without a good one."""

    def __init__(self, authenticator: Authenticator, failed: FailedCredentials, peers: Peers) -> None:
        super().__init__()
        self._authenticator = authenticator
        self._failed = failed
        self._peers = peers

    def around_unary(self, method: str, behaviour: Unary) -> Unary:
        access = access_of(method)

        async def authenticated(request: Any, context: Context) -> Message:
            await self._adopt(access, context)
            answer = await behaviour(request, context)
            await _tell_gateway(context)
            return answer

        return behaviour if access.open else authenticated

    def around_stream(self, method: str, behaviour: Stream) -> Stream:
        access = access_of(method)

        async def authenticated(request: Any, context: Context) -> AsyncIterator[Message]:
            await self._adopt(access, context)
            told = False
            async for message in behaviour(request, context):
                if not told:
                    await _tell_gateway(context)
                    told = True
                yield message

        return behaviour if access.open else authenticated

    def knows(self, metadata: Iterable[tuple[str, str | bytes]]) -> bool:
        """Whether a call with this metadata shows a credential that was accepted lately."""
        for name, value in metadata:
            text = value.decode("latin-1") if isinstance(value, bytes) else value
            if name == API_KEY:
                return self._failed.trusts(text)
            if name == AUTHORIZATION and (found := _BEARER.fullmatch(text)):
                return self._failed.trusts(found[1])
        return False

    async def _adopt(self, access: Access, context: Context) -> None:
        if access.scope is None:
            raise InvalidCredentials("this rpc is internal: only services of the mesh may call it, with a call token")
        shown, address = credential(context), partial(self._peers.address_of, context)
        caller.adopt(await self._failed.counted(address, shown, self._authenticator.authenticate), address)


async def _tell_gateway(context: Context) -> None:
    """Tells the gateway, if it asks, that the credential was accepted. Only before an answer: an error must not become a stream."""
    if (asked := metadata_value(context, ASK_KEY)) is not None:
        await context.send_initial_metadata(((ACCEPTED_KEY, asked),))


def credential(context: Context) -> str:
    """The one credential of a call, from `authorization: Bearer …` or `x-api-key`.

    Raises InvalidCredentials if there is none, more than one, or a malformed one.
    """
    shown = [(name, value) for name in (AUTHORIZATION, API_KEY) for value in metadata_values(context, name)]
    if len(shown) != 1:
        if shown:
            raise InvalidCredentials(f"{len(shown)} credentials were sent; send only one, as authorization or as x-api-key")
        raise InvalidCredentials("no credential was sent; send `authorization: Bearer <access token or API key>`")
    name, text = shown[0]
    if name == API_KEY:
        if not _KEY.fullmatch(text):
            raise InvalidCredentials("x-api-key does not hold an API key: send a key that begins with `amk_`")
        return text
    found = _BEARER.fullmatch(text)
    if found is None:
        raise InvalidCredentials("malformed authorization: send `Bearer`, a space, and an access token or API key")
    return found[1]
