import json
from collections.abc import Mapping


class ApiError(Exception):
    """An answer with an error status, of the shape that the Messages API gives to all its errors.

    `kind` is the API's `error.type`; `headers` go out with the answer.
    """

    def __init__(self, status: int, kind: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message
        self.headers = headers or {}

    @classmethod
    def invalid(cls, message: str) -> "ApiError":
        """400: the request breaks a rule of the API."""
        return cls(400, "invalid_request_error", message)

    @classmethod
    def not_found(cls, message: str) -> "ApiError":
        """404: there is no such model or path."""
        return cls(404, "not_found_error", message)

    def body(self, request_id: str) -> bytes:
        """The JSON document of the answer."""
        return error_document(self.kind, self.message, request_id)


def error_document(kind: str, message: str, request_id: str) -> bytes:
    """The API's error shape, in an answer's body as in the data of an SSE `error` event."""
    return json.dumps({"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}).encode()
