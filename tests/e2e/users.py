"""Users of the platform under test."""

import secrets
from dataclasses import dataclass
from typing import Any

import httpx

from tests.e2e.platform import Platform
from tests.support.credentials import bearer

AUTH = "/api/v1/auth"


@dataclass(frozen=True)
class User:
    """A registered user with a session."""

    user_id: int
    username: str
    password: str
    access_token: str
    refresh_token: str

    @property
    def headers(self) -> dict[str, str]:
        """The user's credentials, to send with every call."""
        return bearer(self.access_token)


def new_name() -> str:
    """An unused name."""
    return f"user.{secrets.token_hex(6)}"


async def posted(platform: Platform, path: str, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
    """A POST to the AuthService, without credentials unless `headers` has some."""
    return await platform.anonymous.post(f"{AUTH}/{path}", json=body, headers=headers)


async def register(platform: Platform, **body: Any) -> httpx.Response:
    """The response to a registration."""
    return await posted(platform, "register", **body)


async def login(platform: Platform, username: str, password: str) -> httpx.Response:
    """The response to a login."""
    return await posted(platform, "login", username=username, password=password)


async def new_user(platform: Platform) -> User:
    """A new user, logged in."""
    username, password = new_name(), secrets.token_urlsafe(12)
    registered = await register(platform, username=username, password=password)
    assert registered.status_code == 200, registered.text
    return await logged_in(platform, registered.json()["user"]["user_id"], username, password)


async def logged_in(platform: Platform, user_id: int, username: str, password: str) -> User:
    """The user with a new session."""
    tokens = (await login(platform, username, password)).raise_for_status().json()
    return User(user_id, username, password, tokens["access_token"], tokens["refresh_token"])


async def new_key(platform: Platform, user: User, *scopes: str, **fields: Any) -> tuple[str, str]:
    """A new API key of the user: its id and its secret. Without scopes it has all of them."""
    wanted = [f"ACCESS_SCOPE_{scope.upper()}" for scope in scopes or ("read", "execute", "manage")]
    answer = (await posted(platform, "api-keys", user.headers, name="a key", scopes=wanted, **fields)).raise_for_status().json()
    return answer["api_key"]["api_key_id"], answer["secret"]
