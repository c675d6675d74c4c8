"""Existing objects of a platform, so that a generated request can be about one of them."""

import secrets
from collections.abc import Mapping
from typing import Any

import requests

from tests.e2e.definitions import AGENT
from tests.e2e.workflows import task

PASSWORD = "correct horse battery"
ASKING = task("plan", approval={"message": "Go?"})


def make_runnable(body: Any) -> None:
    """Replaces what is almost never valid by chance: a task's agent, input and graph, and a password without control characters."""
    if isinstance(body, dict) and {"username", "password"} <= body.keys():
        body["password"] = PASSWORD
    tasks = body.get("tasks") if isinstance(body, dict) else None
    for number, one in enumerate(tasks if isinstance(tasks, list) else ()):
        if isinstance(one, dict):
            one.update(id=f"t{number}", agent_id=AGENT, input="Plan the launch.", depends_on=[])
            one.pop("context", None)
    if tasks is not None:
        _remove_empty_names(body)


def _remove_empty_names(value: Any) -> None:
    """Removes members without a name, which the transcoder refuses and random free-form values often have."""
    if isinstance(value, dict):
        value.pop("", None)
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _remove_empty_names(inner)


def make_answerable(query: Any) -> None:
    """Removes query parameters that are almost never right by chance: time zones, page tokens and the ends of a range."""
    if isinstance(query, dict):
        for name in ("time_zone", "page_token", "start_time", "end_time"):
            query.pop(name, None)


class Existing:
    """Provides ids by the names of path parameters. Objects that a request uses up are created anew for each."""

    def __init__(self, session: requests.Session, url: str, lasting: Mapping[str, str]) -> None:
        self._session = session
        self._url = url
        self._lasting = lasting

    def ids(self, operation: str) -> Mapping[str, str]:
        """The ids for a request of this operation, e.g. `GET /api/v1/workflows/{workflow_id}`."""
        if operation.endswith(("/cancel", "/decide")):
            return self._waiting_run()
        if operation == "DELETE /api/v1/workflows/{workflow_id}":
            return {"workflow_id": self._workflow()}
        if operation == "DELETE /api/v1/auth/api-keys/{api_key_id}":
            asked = {"name": "short-lived", "scopes": ["ACCESS_SCOPE_READ"]}
            return {"api_key_id": self._post("auth/api-keys", asked)["api_key"]["api_key_id"]}
        if operation == "DELETE /api/v1/auth/sessions/{session_id}":
            return {"session_id": self._session_id()}
        return self._lasting

    def _session_id(self) -> str:
        """A session of a new user."""
        login = {"username": f"random.{secrets.token_hex(8)}", "password": PASSWORD}
        user_id = self._post("auth/register", login)["user"]["user_id"]
        self._post("auth/login", login)
        answer = self._session.get(f"{self._url}/api/v1/users/{user_id}/sessions", timeout=30)
        return str(answer.json()["sessions"][0]["session_id"])

    def _workflow(self) -> str:
        return str(self._post("workflows", {"name": "Short-lived", "tasks": [ASKING]})["workflow"]["workflow_id"])

    def _waiting_run(self) -> Mapping[str, str]:
        run = self._post(f"workflows/{self._workflow()}/execute", {})["run"]
        return {"workflow_id": run["workflow_id"], "run_id": run["run_id"], "step_id": "plan"}

    def _post(self, path: str, body: Any) -> Any:
        response = self._session.post(f"{self._url}/api/v1/{path}", json=body, timeout=30)
        assert response.status_code == 200, response.text
        return response.json()
