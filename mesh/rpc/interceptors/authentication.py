"""Authenticates callers before anything else is done for a call."""

import re
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Protocol

from google.protobuf.message import Message

from mesh.rpc.access import Access, access_of
from mesh.rpc.interceptors.behaviour import BehaviourInterceptor, Context, Stream, Unary, metadata_values
from mesh.rpc.interceptors.failed_credentials import FailedCredentials
from mesh.rpc.peer import Peers
from mesh.security import caller
from mesh.security.caller import Caller
from mesh.security.errors import InvalidCredentials

AUTHORIZATION, API_KEY = "authorization", "x-api-key"
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
            return await behaviour(request, context)

        return behaviour if access.open else authenticated

    def around_stream(self, method: str, behaviour: Stream) -> Stream:
        access = access_of(method)

        async def authenticated(request: Any, context: Context) -> AsyncIterator[Message]:
            await self._adopt(access, context)
            async for message in behaviour(request, context):
                yield message

        return behaviour if access.open else authenticated

    async def _adopt(self, access: Access, context: Context) -> None:
        if access.scope is None:
            raise InvalidCredentials("this rpc is internal: only services of the mesh may call it, with a call token")
        shown, address = credential(context), partial(self._peers.address_of, context)
        caller.adopt(await self._failed.counted(address, shown, self._authenticator.authenticate), address)


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
