"""What the client knows about an rpc."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message

R = TypeVar("R", bound=Message)


@dataclass(frozen=True, slots=True)
class Rpc(Generic[R]):
    """An rpc of the platform."""

    path: str
    response: type[R]
    repeatable: bool
    """Whether the same request may be sent again although it is unknown what the first one has done: it only reads, or has a key."""
