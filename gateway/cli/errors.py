"""Errors that a command prints in one line, with what to do next.

CliError            any of them: a message, what to do, an exit code
└── CallFailed      an error of the platform, with its reason, fields and request id
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.cli.exits import Exit


class CliError(Exception):
    """A command failed. The message says what is wrong, with the value; `advice` says what to do."""

    def __init__(self, message: str, advice: str = "", code: Exit = Exit.REFUSED) -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice
        self.code = code

    def lines(self) -> Sequence[str]:
        """The text for a person: one line, and one more for each invalid field after the first."""
        return [f"{self.message}; {self.advice}" if self.advice else self.message]

    def document(self) -> Mapping[str, Any]:
        """The error for a program, in the form of the REST envelope."""
        return {"error": {"code": self.code.name, "message": self.message, "details": {"advice": self.advice}}}


@dataclass(frozen=True)
class Refusal:
    """What the platform said about a failed call."""

    reason: str
    message: str
    request_id: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    violations: Sequence[tuple[str, str]] = ()
    """The invalid fields: path and rule."""
    retry_after_seconds: float | None = None


class CallFailed(CliError):
    """The platform refused a call, or the call failed."""

    def __init__(self, refusal: Refusal, advice: str, code: Exit) -> None:
        super().__init__(refusal.message, advice, code)
        self.refusal = refusal

    def lines(self) -> Sequence[str]:
        """The first line has the reason, the first invalid field, the request id and the advice."""
        refusal = self.refusal
        known = ", ".join(filter(None, [refusal.reason, refusal.request_id]))
        wait = f"; retry after {refusal.retry_after_seconds:g} s" if refusal.retry_after_seconds else ""
        others = [f"  {path}: {rule}" for path, rule in refusal.violations] if len(refusal.violations) > 1 else []
        return [f"{self.message} [{known}]{wait}; {self.advice}", *others]

    def document(self) -> Mapping[str, Any]:
        """The REST envelope of the error, with the advice as one more detail."""
        refusal = self.refusal
        details = {**refusal.details, "advice": self.advice}
        if refusal.violations:
            details["field_violations"] = [{"field": path, "description": rule} for path, rule in refusal.violations]
        if refusal.retry_after_seconds:
            details["retry_after_seconds"] = refusal.retry_after_seconds
        return {"error": {"code": refusal.reason, "message": self.message, "details": details, "request_id": refusal.request_id}}
