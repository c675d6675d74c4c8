"""What the Anthropic SDK raises, told apart and put into our words."""

from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
import anthropic
import httpx2
import structlog

from agent_server.model.errors import ModelApiError, ModelApiTimeout
from agent_server.model.ports import Meter

log = structlog.get_logger()

_RETRYABLE = frozenset({408, 409, 429, 500, 502, 503, 504, 529})
_RETRYABLE_TYPES = frozenset({"overloaded_error", "rate_limit_error", "api_error", "timeout_error"})


@contextmanager
def translated(meter: Meter) -> Iterator[None]:
    """Raises ModelApiError or ModelApiTimeout for whatever the SDK, its transport or a malformed answer raises.

    The order matters: APITimeoutError is an APIConnectionError. A refused or never made request empties the meter: it cost nothing.
    """
    try:
        yield
    except anthropic.APITimeoutError as error:
        raise ModelApiTimeout("the connection to the model provider timed out; try again") from error
    except anthropic.APIConnectionError as error:
        raise _lost(error, meter) from error
    except anthropic.APIStatusError as error:
        raise _refusal(error, meter) from error
    except (httpx2.HTTPError, httpx2.StreamError, aiohttp.ClientError) as error:
        message = "the connection to the model provider broke in the middle of its answer; try again"
        raise ModelApiError(message, retryable=True) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("provider_answer_unreadable", exc_info=error)
        raise ModelApiError("the model provider's answer could not be read; try again", retryable=True) from error


def _lost(error: anthropic.APIConnectionError, meter: Meter) -> ModelApiError:
    transport = error.__cause__.__cause__ if error.__cause__ else None
    if isinstance(transport, aiohttp.ClientConnectorError):
        meter.refused()
        return ModelApiError("the model provider cannot be reached; nothing was bought, try again", retryable=True)
    return ModelApiError("the model provider closed the connection before it answered; try again", retryable=True)


def _refusal(error: anthropic.APIStatusError, meter: Meter) -> ModelApiError:
    in_stream = error.status_code == 200  # an SSE `error` event: what came before it was bought
    if not in_stream:
        meter.refused()
    retryable = error.status_code in _RETRYABLE or error.type in _RETRYABLE_TYPES
    kind = error.type or f"status {error.status_code}"
    if error.status_code in (401, 403):
        message = f"the model provider refused the platform's API key ({kind}); set a valid ANTHROPIC_API_KEY"
    else:
        message = f"the model provider answered {kind}: {(error.api_message or 'no message')[:300]}"
    return ModelApiError(
        message,
        retryable=retryable,
        retry_after_seconds=_retry_after(error),
        provider_status=str(error.status_code),
        provider_error=str(error.type or ""),
    )


def _retry_after(error: anthropic.APIStatusError) -> float | None:
    try:
        seconds = float(error.response.headers["retry-after"])
    except (KeyError, ValueError):  # or a date, which Anthropic does not send
        return None
    return seconds if seconds >= 0 else None
