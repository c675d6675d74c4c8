"""Translates the exceptions of the Anthropic SDK, its transport and unreadable answers into the errors of the port."""

from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
import anthropic
import httpx2
import structlog

from agent_server.model.errors import ModelApiError, ModelApiTimeout
from agent_server.model.ports import Meter

log = structlog.get_logger()

_RETRYABLE_BELOW_500 = frozenset({408, 409, 425, 429})
_RETRYABLE_TYPES = frozenset({"overloaded_error", "rate_limit_error", "api_error", "timeout_error"})
_CHECK_THE_WAY = "check ANTHROPIC_BASE_URL and the proxies between this host and the model provider"
_ABOUT_THE_KEY = frozenset({"authentication_error", "permission_error"})


class AnswerTooLarge(Exception):
    """The provider's response exceeds a limit; the message says which."""


class AnswerEncoded(Exception):
    """The provider's response has an encoding that the request did not ask for; the message says which."""


@contextmanager
def translated(meter: Meter) -> Iterator[None]:
    """Raises ModelApiError or ModelApiTimeout for anything that the SDK, its transport or a malformed answer raises.

    The order matters: APITimeoutError is an APIConnectionError. If the request was refused or never sent, it cost nothing, and the
    meter is emptied.
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
        message = "the connection to the model provider was lost in the middle of its answer; try again"
        raise ModelApiError(message, retryable=True) from error
    except AnswerTooLarge as error:
        raise ModelApiError(f"{error}; ask for a shorter answer, or lower the agent's max_tokens", retryable=False) from error
    except AnswerEncoded as error:
        raise ModelApiError(f"{error}; {_CHECK_THE_WAY}", retryable=False) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        log.warning("provider_answer_unreadable", exc_info=error)
        raise ModelApiError("the model provider's answer is not a valid message; try again", retryable=True) from error


def _lost(error: anthropic.APIConnectionError, meter: Meter) -> ModelApiError:
    transport = error.__cause__.__cause__ if error.__cause__ else None
    if isinstance(transport, aiohttp.ClientConnectorError):
        meter.refused()
        return ModelApiError("the model provider cannot be reached; nothing was bought, try again", retryable=True)
    return ModelApiError("the model provider closed the connection before it answered; try again", retryable=True)


def _refusal(error: anthropic.APIStatusError, meter: Meter) -> ModelApiError:
    in_stream = error.status_code == 200  # an SSE `error` event: the text before it was bought
    if not in_stream:
        meter.refused()
    status = error.status_code
    return ModelApiError(
        _message(error),
        retryable=status >= 500 or status in _RETRYABLE_BELOW_500 or error.type in _RETRYABLE_TYPES,
        retry_after_seconds=_retry_after(error),
        provider_status=str(status),
        provider_error=str(error.type or ""),
    )


def _message(error: anthropic.APIStatusError) -> str:
    if not isinstance(error.type, str):  # the body is not one of the API's errors
        form = error.response.headers.get("content-type", "").partition(";")[0] or "no content type"
        answered = f"answered with status {error.status_code} ({form[:60]}), not with the Messages API"
        return f"the model provider's address {answered}; {_CHECK_THE_WAY}"
    message = (error.api_message or "no message")[:300]
    if error.type in _ABOUT_THE_KEY:
        return f"the model provider refused the platform's API key ({error.type}: {message}); set a valid ANTHROPIC_API_KEY"
    return f"the model provider answered {error.type}: {message}"


def _retry_after(error: anthropic.APIStatusError) -> float | None:
    try:
        seconds = float(error.response.headers["retry-after"])
    except (KeyError, ValueError):  # or a date, which Anthropic does not send
        return None
    return seconds if seconds >= 0 else None
