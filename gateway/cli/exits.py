"""The exit codes. docs/cli.md has the same table; a test compares them."""

from enum import IntEnum


class Exit(IntEnum):
    """The exit code of a command."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> "Exit":
        """A code, and the line about it in docs/cli.md."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    DONE = 0, "success"
    REFUSED = 1, "any other error"
    USAGE = 2, "invalid arguments; nothing was sent"
    NOT_LOGGED_IN = 3, "no credential, or the platform does not accept it (HTTP 401)"
    NOT_ALLOWED = 4, "this account or key may not do that (403)"
    NOT_FOUND = 5, "the object does not exist or belongs to another user (404)"
    INVALID = 6, "the request is invalid, or the answer was blocked or incomplete (400, 413, 415, 422)"
    CONFLICT = 7, "the state of the object does not allow it (409)"
    LIMITED = 8, "a rate limit or a budget is exhausted (402, 429)"
    UNAVAILABLE = 9, "the platform cannot be reached or is not ready; nothing was bought, so repeat the command later (503)"
    TIMED_OUT = 10, "no answer in time; the call may have cost something (504)"
    CALL_FAILED = 11, "the agent or the model provider failed; the call may have cost something (500, 502)"
    RUN_FAILED = 12, "the watched run failed or was cancelled"
    UNHEALTHY = 13, "`doctor` found a problem, or `status` found that the platform is not ready"
    INTERRUPTED = 130, "stopped by Ctrl-C"


_OF_HTTP_STATUS = {
    400: Exit.INVALID,
    401: Exit.NOT_LOGGED_IN,
    402: Exit.LIMITED,
    403: Exit.NOT_ALLOWED,
    404: Exit.NOT_FOUND,
    409: Exit.CONFLICT,
    413: Exit.INVALID,
    415: Exit.INVALID,
    422: Exit.INVALID,
    429: Exit.LIMITED,
    500: Exit.CALL_FAILED,
    502: Exit.CALL_FAILED,
    503: Exit.UNAVAILABLE,
    504: Exit.TIMED_OUT,
}


def exit_of(http_status: int) -> Exit:
    """The exit code for an error of the platform, by the HTTP status in the error table."""
    return _OF_HTTP_STATUS.get(http_status, Exit.REFUSED)
