"""The messages of the platform: requests, responses and what they consist of."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.struct_pb2 import Struct

from agentmesh_client.messages_pb2 import *  # noqa: F403


def struct(values: Mapping[str, Any]) -> Struct:
    """Free-form facts, such as the `context` of an agent, from what JSON can express."""
    made = Struct()
    made.update(values)
    return made
