"""Traces the calls to a model provider. Used only while tracing is on."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from agent_server.model.ports import Answer, Meter, Model, Prompt
from mesh.tracing import names
from mesh.tracing.spans import Kind, Span, Tracer


class TracedModel:
    """A model whose calls are spans, with what they used, and without what was asked and answered. See the port."""

    def __init__(self, model: Model, provider: str, tracer: Tracer) -> None:
        self._model = model
        self._provider = provider
        self._tracer = tracer

    async def complete(self, prompt: Prompt, meter: Meter, timeout: float) -> Answer:
        """The whole answer."""
        with self._chat(prompt, meter) as span:
            answer = await self._model.complete(prompt, meter, timeout)
            _describe(span, answer)
            return answer

    async def stream(self, prompt: Prompt, meter: Meter, timeout: float) -> AsyncIterator[str | Answer]:
        """The pieces of the answer's text, then the whole Answer. The span ends before that."""
        whole = None
        with self._chat(prompt, meter) as span:
            span.set(names.REQUEST_STREAM, True)
            async for piece in self._model.stream(prompt, meter, timeout):
                if isinstance(piece, Answer):
                    whole = piece
                    _describe(span, whole)
                else:
                    yield piece
        if whole is not None:
            yield whole

    @contextmanager
    def _chat(self, prompt: Prompt, meter: Meter) -> Iterator[Span]:
        with self._tracer.start(f"{names.CHAT} {prompt.model}", Kind.CLIENT) as span:
            span.set(names.OPERATION, names.CHAT)
            span.set(names.PROVIDER, self._provider)
            span.set(names.REQUEST_MODEL, prompt.model)
            span.set(names.REQUEST_MAX_TOKENS, prompt.max_tokens)
            span.set(names.EXECUTION_ID, prompt.execution_id)
            try:
                yield span
            finally:
                _meter(span, meter)


def _describe(span: Span, answer: Answer) -> None:
    span.set(names.RESPONSE_MODEL, answer.model)
    span.set(names.FINISH_REASONS, (answer.stop_reason,))


def _meter(span: Span, meter: Meter) -> None:
    if (usage := meter.usage) is not None:
        span.set(names.INPUT_TOKENS, usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens)
        span.set(names.OUTPUT_TOKENS, usage.output_tokens)
        span.set(names.CACHE_READ_TOKENS, usage.cache_read_tokens)
        span.set(names.CACHE_WRITE_TOKENS, usage.cache_write_tokens)
        span.set(names.USAGE_ESTIMATED, usage.estimated)
