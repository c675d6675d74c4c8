"""What identifies the caller: an API key, an access token, or a session that logs in and refreshes its tokens."""

import time

from google.protobuf.message import Message

from agentmesh_client.errors import AgentMeshError, NotAuthenticated
from agentmesh_client.messages_pb2 import LoginRequest, LoginResponse, RefreshTokenRequest, RefreshTokenResponse
from agentmesh_client.rpc import Rpc

Metadata = tuple[tuple[str, str], ...]
_LOGIN = Rpc("/agentmesh.identity.v1.AuthService/Login", LoginResponse, repeatable=True)
_REFRESH = Rpc("/agentmesh.identity.v1.AuthService/RefreshToken", RefreshTokenResponse, repeatable=True)
_MARGIN_SECONDS = 60.0
"""An access token with less time left than this is renewed before it is sent."""


class Credentials:
    """No credential: only open calls, such as Register and health, succeed."""

    def metadata(self) -> Metadata:
        """What to send with a call."""
        return ()

    def renewal(self) -> tuple[Rpc[LoginResponse] | Rpc[RefreshTokenResponse], Message] | None:
        """The call that must be made first; None if the credential can be sent."""
        return None

    def renewed(self, response: LoginResponse | RefreshTokenResponse) -> None:
        """Takes the tokens of a renewal."""

    def refused(self, error: NotAuthenticated) -> None:
        """The renewal was refused. Returns if there is another way to renew, else raises `error`."""
        raise error

    def expired(self, error: AgentMeshError, sent: Metadata) -> bool:
        """Whether `error` means that the credential that was sent must be renewed, and can be."""
        return False


class ApiKey(Credentials):
    """An API key, `amk_…`."""

    def __init__(self, secret: str) -> None:
        self._metadata = (("x-api-key", secret),)

    def metadata(self) -> Metadata:
        return self._metadata


class AccessToken(Credentials):
    """An access token that somebody else renews."""

    def __init__(self, token: str) -> None:
        self._metadata = (("authorization", f"Bearer {token}"),)

    def metadata(self) -> Metadata:
        return self._metadata


class Session(Credentials):
    """Logs in with a password or continues with a refresh token, and renews the access token while it is used.

    A refresh token works once. To continue the session in another process, hand `refresh_token` over and stop using this object.
    """

    def __init__(self, username: str = "", password: str = "", *, refresh_token: str = "") -> None:
        if not (username and password) and not refresh_token:
            raise ValueError("a session needs a user name and a password, or a refresh token")
        self.refresh_token = refresh_token
        self._login = LoginRequest(username=username, password=password) if username else None
        self._access_token = ""
        self._renew_at = 0.0

    def metadata(self) -> Metadata:
        return (("authorization", f"Bearer {self._access_token}"),)

    def renewal(self) -> tuple[Rpc[LoginResponse] | Rpc[RefreshTokenResponse], Message] | None:
        if self._access_token and time.monotonic() < self._renew_at:
            return None
        if self.refresh_token:
            return _REFRESH, RefreshTokenRequest(refresh_token=self.refresh_token)
        if self._login is None:
            raise NotAuthenticated("the session has ended: log in again")
        return _LOGIN, self._login

    def renewed(self, response: LoginResponse | RefreshTokenResponse) -> None:
        self._access_token, self.refresh_token = response.access_token, response.refresh_token
        self._renew_at = time.monotonic() + response.expires_in - min(_MARGIN_SECONDS, response.expires_in / 2)

    def refused(self, error: NotAuthenticated) -> None:
        if not self.refresh_token or self._login is None:
            raise error
        self.refresh_token = ""

    def expired(self, error: AgentMeshError, sent: Metadata) -> bool:
        if error.reason not in ("AUTH_TOKEN_EXPIRED", "AUTH_TOKEN_BLACKLISTED"):
            return False
        if sent == self.metadata():
            self._access_token = ""
        return True
