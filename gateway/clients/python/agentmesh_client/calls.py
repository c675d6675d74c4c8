"""Makes calls: credentials, deadlines, retries, streams and pages. `Calls` is for threads, `AsyncCalls` the same for asyncio."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import TypeVar

import grpc
from google.protobuf.message import Message

from agentmesh_client.credentials import Credentials, Metadata
from agentmesh_client.errors import AgentMeshError, ConnectionLost, NotAuthenticated, error_of
from agentmesh_client.reading import next_page, reading_of
from agentmesh_client.retries import RetryPolicy, Tries, with_key
from agentmesh_client.rpc import R, Rpc

T = TypeVar("T", bound=Message)
_CUT_OFF = "the stream ended before it was complete"


class Calls:
    """Calls on one channel. It may be used by many threads."""

    def __init__(self, channel: grpc.Channel, credentials: Credentials, timeout: float, retry: RetryPolicy) -> None:
        self._channel = channel
        self._credentials = credentials
        self._timeout = timeout
        self._retry = retry
        self._renewing = threading.Lock()

    def unary(self, rpc: Rpc[R], request: Message, timeout: float | None) -> R:
        """The response. Raises AgentMeshError."""
        tries = Tries(self._retry, self._timeout if timeout is None else timeout, repeatable=rpc.repeatable)
        request = with_key(request)
        while True:
            sent = self._credential(tries)
            try:
                return self._send(rpc, request, tries, sent)
            except AgentMeshError as error:
                self._wait(error, sent, tries)

    def stream(self, rpc: Rpc[R], request: Message, timeout: float | None) -> Iterator[R]:
        """The messages of a stream; a watch is continued after a broken connection. Raises AgentMeshError."""
        reading = reading_of(with_key(request))
        limit = self._timeout if timeout is None and not reading.endless else timeout
        tries = Tries(self._retry, limit, repeatable=rpc.repeatable)
        opener = self._channel.unary_stream(
            rpc.path, request_serializer=type(request).SerializeToString, response_deserializer=rpc.response.FromString
        )
        while True:
            sent = self._credential(tries)
            call = opener(reading.request, timeout=tries.seconds_left, metadata=sent)
            try:
                for message in call:
                    tries.progressed()
                    if reading.accept(message):
                        yield message
                if reading.complete:
                    return
                error: AgentMeshError = ConnectionLost(_CUT_OFF)
            except grpc.RpcError as failure:
                error = error_of(failure)
            finally:
                call.cancel()
            if not reading.can_continue:
                raise error
            self._wait(error, sent, tries)

    def items(self, rpc: Rpc[R], request: Message, timeout: float | None, item: type[T], field: str) -> Iterator[T]:
        """The items of all pages; `field` is the one with the items. Raises AgentMeshError."""
        following: Message | None = request
        while following is not None:
            page = self.unary(rpc, following, timeout)
            items: list[T] = getattr(page, field)
            yield from items
            following = next_page(following, page, len(items))

    def _send(self, rpc: Rpc[R], request: Message, tries: Tries, credential: Metadata) -> R:
        send = self._channel.unary_unary(
            rpc.path, request_serializer=type(request).SerializeToString, response_deserializer=rpc.response.FromString
        )
        try:
            return send(request, timeout=tries.seconds_left, metadata=credential)
        except grpc.RpcError as failure:
            raise error_of(failure) from failure

    def _credential(self, tries: Tries) -> Metadata:
        with self._renewing:
            while (renewal := self._credentials.renewal()) is not None:
                rpc, request = renewal
                try:
                    self._credentials.renewed(self._send(rpc, request, tries, ()))
                except NotAuthenticated as error:
                    self._credentials.refused(error)
                except AgentMeshError as error:
                    time.sleep(tries.pause_after(error))
            return self._credentials.metadata()

    def _wait(self, error: AgentMeshError, sent: Metadata, tries: Tries) -> None:
        if self._credentials.expired(error, sent):
            tries.count(error)
        else:
            time.sleep(tries.pause_after(error))


class AsyncCalls:
    """Calls on one channel of asyncio."""

    def __init__(self, channel: grpc.aio.Channel, credentials: Credentials, timeout: float, retry: RetryPolicy) -> None:
        self._channel = channel
        self._credentials = credentials
        self._timeout = timeout
        self._retry = retry
        self._renewing = asyncio.Lock()

    async def unary(self, rpc: Rpc[R], request: Message, timeout: float | None) -> R:
        """The response. Raises AgentMeshError."""
        tries = Tries(self._retry, self._timeout if timeout is None else timeout, repeatable=rpc.repeatable)
        request = with_key(request)
        while True:
            sent = await self._credential(tries)
            try:
                return await self._send(rpc, request, tries, sent)
            except AgentMeshError as error:
                await self._wait(error, sent, tries)

    async def stream(self, rpc: Rpc[R], request: Message, timeout: float | None) -> AsyncIterator[R]:
        """The messages of a stream; a watch is continued after a broken connection. Raises AgentMeshError."""
        reading = reading_of(with_key(request))
        limit = self._timeout if timeout is None and not reading.endless else timeout
        tries = Tries(self._retry, limit, repeatable=rpc.repeatable)
        opener = self._channel.unary_stream(
            rpc.path, request_serializer=type(request).SerializeToString, response_deserializer=rpc.response.FromString
        )
        while True:
            sent = await self._credential(tries)
            call = opener(reading.request, timeout=tries.seconds_left, metadata=sent)
            try:
                async for message in call:
                    tries.progressed()
                    if reading.accept(message):
                        yield message
                if reading.complete:
                    return
                error: AgentMeshError = ConnectionLost(_CUT_OFF)
            except grpc.RpcError as failure:
                error = error_of(failure)
            finally:
                call.cancel()
            if not reading.can_continue:
                raise error
            await self._wait(error, sent, tries)

    async def items(self, rpc: Rpc[R], request: Message, timeout: float | None, item: type[T], field: str) -> AsyncIterator[T]:
        """The items of all pages; `field` is the one with the items. Raises AgentMeshError."""
        following: Message | None = request
        while following is not None:
            page = await self.unary(rpc, following, timeout)
            items: list[T] = getattr(page, field)
            for each in items:
                yield each
            following = next_page(following, page, len(items))

    async def _send(self, rpc: Rpc[R], request: Message, tries: Tries, credential: Metadata) -> R:
        send = self._channel.unary_unary(
            rpc.path, request_serializer=type(request).SerializeToString, response_deserializer=rpc.response.FromString
        )
        try:
            return await send(request, timeout=tries.seconds_left, metadata=credential)
        except grpc.RpcError as failure:
            raise error_of(failure) from failure

    async def _credential(self, tries: Tries) -> Metadata:
        async with self._renewing:
            while (renewal := self._credentials.renewal()) is not None:
                rpc, request = renewal
                try:
                    self._credentials.renewed(await self._send(rpc, request, tries, ()))
                except NotAuthenticated as error:
                    self._credentials.refused(error)
                except AgentMeshError as error:
                    await asyncio.sleep(tries.pause_after(error))
            return self._credentials.metadata()

    async def _wait(self, error: AgentMeshError, sent: Metadata, tries: Tries) -> None:
        if self._credentials.expired(error, sent):
            tries.count(error)
        else:
            await asyncio.sleep(tries.pause_after(error))
