"""Holds an API key to what it was made for."""

from collections.abc import AsyncIterator
from typing import Any, Protocol

from google.protobuf.message import Message

from mesh.rpc.access import access_of
from mesh.rpc.interceptors.behaviour import BehaviourInterceptor, Context, Stream, Unary
from mesh.security import caller
from mesh.security.caller import Caller, Scope
from mesh.security.errors import ScopeMissing


class DenialLog(Protocol):
    """Remembers who was denied what."""

    def denied(self, who: Caller, method: str, rule: str) -> None:
        """Takes note; neither waits nor raises."""
        ...


class ScopeCheck(BehaviourInterceptor):
    """Refuses a caller whose credential lacks the scope that the rpc's contract names. It comes after the authentication."""

    def __init__(self, log: DenialLog) -> None:
        super().__init__()
        self._log = log

    def around_unary(self, method: str, behaviour: Unary) -> Unary:
        """Checks, then calls."""
        scope = access_of(method).scope

        async def checked(request: Any, context: Context) -> Message:
            self._check(method, scope)
            return await behaviour(request, context)

        return checked if scope else behaviour

    def around_stream(self, method: str, behaviour: Stream) -> Stream:
        """Checks, then streams."""
        scope = access_of(method).scope

        async def checked(request: Any, context: Context) -> AsyncIterator[Message]:
            self._check(method, scope)
            async for message in behaviour(request, context):
                yield message

        return checked if scope else behaviour

    def _check(self, method: str, scope: Scope | None) -> None:
        who = caller.current()
        if scope is not None and scope not in who.scopes:
            self._log.denied(who, method, "scope")
            raise ScopeMissing.of(scope)
