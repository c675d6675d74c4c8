"""The endpoints by which tests steer and read the simulator.

    POST   /control/faults     {"fault": "429", "argument": 1, "count": 3, "match": {"input_contains": "…", "model": "…"}}
                               the next `count` requests that match get the fault; no count: all of them, until cleared.
                               Answers {"faults": […]}, the rules now in force.
    DELETE /control/faults     clears them
    POST   /control/defaults   {"delay_ms": 0, "trickle_ms": 0}: the pace of every answer; what is left out stays
    GET    /control/log        ?after=N: {"entries": […], "oldest": n, "last": n}; `entries` are the lines of the log behind line N.
                               Memory holds the latest 20,000: when `oldest` > N + 1, older lines are in the file only.
    GET    /control/active     {"active": n}: how many answers are in progress

What is not understood gets the API's 400.
"""

from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deploy.simulator.errors import ApiError
from deploy.simulator.faults import Fault, FaultRule, FaultRules
from deploy.simulator.log import AnswerLog
from deploy.simulator.messages.api import MessagesApi, Pace


class _Match(BaseModel):
    model_config = ConfigDict(extra="forbid")
    input_contains: str | None = None
    model: str | None = None


class _FaultRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")
    fault: str
    argument: int | None = None
    count: int | None = Field(default=None, ge=1)
    match: _Match = _Match()


class _PaceRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")
    delay_ms: int | None = Field(default=None, ge=0)
    trickle_ms: int | None = Field(default=None, ge=0)


class Control:
    """Steers one simulator."""

    def __init__(self, api: MessagesApi, pace: Pace, rules: FaultRules, log: AnswerLog) -> None:
        self._api = api
        self._pace = pace
        self._rules = rules
        self._log = log

    async def add_fault(self, request: web.Request) -> web.Response:
        """Puts a fault rule in force."""
        try:
            wanted = _FaultRequest.model_validate_json(await request.read())
            fault = Fault.named(wanted.fault, wanted.argument)
        except ValueError as wrong:
            return _refusal(wrong)
        self._rules.add(FaultRule(fault, wanted.count, wanted.match.input_contains, wanted.match.model))
        return self._faults()

    async def clear_faults(self, request: web.Request) -> web.Response:
        """Ends all fault rules."""
        self._rules.clear()
        return self._faults()

    async def set_defaults(self, request: web.Request) -> web.Response:
        """Changes the pace."""
        try:
            wanted = _PaceRequest.model_validate_json(await request.read())
        except ValueError as wrong:
            return _refusal(wrong)
        for name, value in wanted.model_dump(exclude_none=True).items():
            setattr(self._pace, name, value)
        return web.json_response({"delay_ms": self._pace.delay_ms, "trickle_ms": self._pace.trickle_ms})

    async def read_log(self, request: web.Request) -> web.Response:
        """Tells the latest lines of the log."""
        after = request.query.get("after", "0")
        if not after.isdecimal():
            return _refusal(ValueError(f"after: {after!r} is not the number of a line"))
        lines, oldest, last = self._log.after(int(after))
        body = b'{"entries":[%s],"oldest":%d,"last":%d}' % (b",".join(lines), oldest, last)
        return web.Response(body=body, content_type="application/json")

    async def count_active(self, request: web.Request) -> web.Response:
        """Tells how many answers are in progress."""
        return web.json_response({"active": self._api.active})

    def _faults(self) -> web.Response:
        return web.json_response({"faults": [_told(rule) for rule in self._rules.rules]})


def _told(rule: FaultRule) -> dict[str, Any]:
    return {
        "fault": rule.fault.name,
        "argument": rule.fault.argument,
        "count": rule.remaining,
        "match": {"input_contains": rule.input_contains, "model": rule.model},
    }


def _refusal(wrong: ValueError) -> web.Response:
    message = (
        "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in wrong.errors())
        if isinstance(wrong, ValidationError)
        else str(wrong)
    )
    return web.Response(status=400, body=ApiError.invalid(message).body("req_control"), content_type="application/json")
