"""What the filters before the transcoder must know about each REST path, from the contract.

The transcoder loses or accepts what the contract does not allow: null elements of lists disappear, a singular query parameter that is
given twice takes the last value, and query parameters and bodies are merged. requests.lua refuses such requests beforehand. The login
limit and shedding.lua go by the kind of the rpc.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorSet

from gateway.envoy.body_sizes import SLACK_BYTES, largest_body
from gateway.envoy.contract import Binding, bindings
from mesh.rpc.access import RpcKind, declared

_VARIABLE = re.compile(r"\{([^=}]*)")
_REPEATED = FieldDescriptorProto.LABEL_REPEATED
_FREE_FORM = ".google.protobuf."
Messages = Mapping[str, DescriptorProto]


@dataclass(frozen=True, slots=True)
class RequestRules:
    """The rules for one HTTP method of one path."""

    binding: Binding
    kind: RpcKind
    takes_body: bool
    in_path: tuple[str, ...]
    """Fields that the path sets; a query parameter must not set them again."""
    repeated: tuple[str, ...]
    """Query parameters that may be given more than once."""
    lists: Mapping[str, Any]
    """Fields of the body on the way to typed lists, by both JSON names; `list` marks the lists, `fields` leads on."""

    cursor: str = ""
    """The query parameter after which a stream resumes, such as `after_sequence`; the ids of its events are its values."""
    streams: bool = False
    largest_body: int | None = None
    """The bytes that a body needs at most; None if the contract does not bound it."""

    @property
    def methods(self) -> Sequence[str]:
        """The HTTP methods that the rules apply to. HEAD is served as GET."""
        return ("GET", "HEAD") if self.binding.method == "GET" else (self.binding.method,)

    def for_lua(self) -> dict[str, Any]:
        """The route metadata that the filters read."""
        query = {"in_path": dict.fromkeys(self.in_path, True), "repeated": dict.fromkeys(self.repeated, True)}
        rules = {"kind": self.kind, "rest": "body" if self.takes_body else "query", "query": query, "lists": dict(self.lists)}
        return {**rules, **({"streams": True, "cursor": self.cursor} if self.streams else {})}


def request_rules(descriptor_path: Path) -> list[RequestRules]:
    """The rules for every REST path of a descriptor set (`gen/descriptor.binpb`).

    Agent calls come first: Envoy tries the routes in order, and these are the calls that must be fast.
    """
    files = FileDescriptorSet.FromString(descriptor_path.read_bytes()).file
    messages = {name: message for file in files for name, message in _named(f".{file.package}", file.message_type)}
    found = [
        replace(
            _rules(binding, declared(method.name, method.options).kind, body, messages[method.input_type], messages),
            streams=method.server_streaming,
        )
        for file in files
        for service in file.service
        for method in service.method
        for binding, body in bindings(method)
    ]
    return sorted(found, key=lambda rules: rules.kind is not RpcKind.AGENT_CALL)


def _rules(binding: Binding, kind: RpcKind, body: str, request: DescriptorProto, messages: Messages) -> RequestRules:
    if body not in ("", "*"):
        raise ValueError(f'{binding}: the gateway supports `body: "*"` or no body, not `body: "{body}"`')
    in_path = tuple(name for name in _VARIABLE.findall(binding.template))
    repeated = tuple(field.name for field in request.field if field.label == _REPEATED)
    largest = largest_body(request, messages) if body else SLACK_BYTES
    cursor = next((field.name for field in request.field if field.name.startswith("after_")), "")
    return RequestRules(
        binding, kind, body == "*", in_path, repeated, _lists(request, messages, ()) if body else {}, cursor, largest_body=largest
    )


def _lists(message: DescriptorProto, messages: Messages, above: tuple[DescriptorProto, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in message.field:
        inner = messages.get(field.type_name)
        if inner is None or field.type_name.startswith(_FREE_FORM) or any(inner is one for one in above):
            fields = {}
        else:
            fields = _lists(inner, messages, (*above, message))
        if field.label == _REPEATED and not (inner is not None and inner.options.map_entry):
            found[field.name] = found[field.json_name] = {"list": True, "fields": fields}
        elif fields:
            found[field.name] = found[field.json_name] = {"fields": fields}
    return found


def _named(prefix: str, messages: Sequence[DescriptorProto]) -> Iterator[tuple[str, DescriptorProto]]:
    for message in messages:
        name = f"{prefix}.{message.name}"
        yield name, message
        yield from _named(name, message.nested_type)
