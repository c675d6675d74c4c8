"""Finds out who calls, before anything is done for the call."""

import re
from collections.abc import AsyncIterator
from typing import Any, Protocol

from google.protobuf.message import Message

from mesh.rpc.access import Access, access_of
from mesh.rpc.interceptors.behaviour import BehaviourInterceptor, Context, Stream, Unary, metadata_values
from mesh.security import caller
from mesh.security.caller import Caller
from mesh.security.errors import InvalidCredentials

AUTHORIZATION, API_KEY = "authorization", "x-api-key"
_BEARER = re.compile(r"(?i:bearer) +([A-Za-z0-9._~+/-]+=*)")
_KEY = re.compile(r"amk_[A-Za-z0-9_-]+")


class Authenticator(Protocol):
    """Knows whose a credential is."""

    async def authenticate(self, credential: str) -> Caller:
        """The caller that an access token or an API key proves.

        Raises InvalidCredentials, TokenExpired, TokenRevoked, or ServiceUnavailable when nobody can tell.
        """
        ...


class Authentication(BehaviourInterceptor):
    """Adopts the caller of every rpc that is not open; whoever cannot be told is refused."""

    def __init__(self, authenticator: Authenticator) -> None:
        super().__init__()
        self._authenticator = authenticator

    def around_unary(self, method: str, behaviour: Unary) -> Unary:
        """Adopts the caller, then calls."""
        access = access_of(method)

        async def authenticated(request: Any, context: Context) -> Message:
            await self._adopt(access, context)
            return await behaviour(request, context)

        return behaviour if access.open else authenticated

    def around_stream(self, method: str, behaviour: Stream) -> Stream:
        """Adopts the caller, then streams."""
        access = access_of(method)

        async def authenticated(request: Any, context: Context) -> AsyncIterator[Message]:
            await self._adopt(access, context)
            async for message in behaviour(request, context):
                yield message

        return behaviour if access.open else authenticated

    async def _adopt(self, access: Access, context: Context) -> None:
        if access.scope is None:
            raise InvalidCredentials("only services of the mesh call this")
        caller.adopt(await self._authenticator.authenticate(credential(context)))


def credential(context: Context) -> str:
    """The one credential that a call shows, in `authorization: Bearer …` or `x-api-key`.

    Raises InvalidCredentials for none, for two, and for what cannot be one.
    """
    shown = [(name, value) for name in (AUTHORIZATION, API_KEY) for value in metadata_values(context, name)]
    if len(shown) != 1:
        if shown:
            raise InvalidCredentials("more than one credential was sent; send one, as authorization or as x-api-key")
        raise InvalidCredentials("no credential was sent; send `authorization: Bearer <access token or API key>`")
    name, text = shown[0]
    if name == API_KEY:
        if not _KEY.fullmatch(text):
            raise InvalidCredentials("x-api-key holds no API key; one begins with `amk_`")
        return text
    found = _BEARER.fullmatch(text)
    if found is None:
        raise InvalidCredentials("authorization must be `Bearer`, a space, and an access token or API key")
    return found[1]
