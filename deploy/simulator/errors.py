import json
from collections.abc import Mapping
from http import HTTPStatus


class ApiError(Exception):
    """An answer with an error status, in the form of the Messages API. `kind` is the API's `error.type`."""

    content_type = "application/json"

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
        """The body of the answer."""
        return error_document(self.kind, self.message, request_id)


class ProxyPage(ApiError):
    """A page that something between the client and the API answers with."""

    content_type = "text/html"

    def __init__(self, status: int) -> None:
        super().__init__(status, "proxy", "A proxy's page")

    def body(self, request_id: str) -> bytes:
        known = {status.value: status.phrase for status in HTTPStatus}
        title = f"{self.status} {known.get(self.status, 'Web server returned an unknown error')}"
        return f"<html><head><title>{title}</title></head><body><h1>{title}</h1><hr>proxy</body></html>".encode()


def error_document(kind: str, message: str, request_id: str) -> bytes:
    """The API's form of an error, in the body of an answer and in the data of an SSE `error` event."""
    return json.dumps({"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}).encode()
