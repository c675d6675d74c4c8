"""The HTTP routes of the rpcs: their `google.api.http` options, read as the gateway's transcoder reads them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

from protos.codegen.contracts import ContractError, Contracts

_TEMPLATE = re.compile(r"(/(\{[a-z][a-z0-9_.]*\}|[A-Za-z0-9_.~-]+))+")
_MESSAGES_IN_QUERY = frozenset({"google.protobuf.Timestamp", "google.protobuf.Duration", "google.protobuf.FieldMask"})

FieldPath = tuple[FieldDescriptor, ...]
"""A field of a request, preceded by the messages that contain it."""


@dataclass(frozen=True, slots=True)
class Route:
    """One way to reach an rpc over HTTP.

    `template` is made of literals and of variables that match one segment each; `body` is the field that the body fills,
    `*` for every field that the path does not fill, or empty for no body.
    """

    method: str
    template: str
    body: str
    rpc: MethodDescriptor

    @property
    def segments(self) -> list[str]:
        """The template's segments, with variables in braces."""
        return self.template[1:].split("/")

    @property
    def variables(self) -> list[str]:
        """The field paths that the template fills, in order."""
        return [segment[1:-1] for segment in self.segments if is_variable(segment)]

    def path_fields(self) -> list[FieldPath]:
        """The fields that the path fills. Raises ContractError if one is not a scalar field of the request."""
        return [self._resolved(variable) for variable in self.variables]

    def body_field(self) -> FieldDescriptor | None:
        """The field that the body fills, if it is a single one. Raises ContractError if the request has no such field."""
        return self._resolved(self.body, plain=False)[-1] if self.body not in ("", "*") else None

    def query_fields(self) -> list[FieldPath]:
        """The fields of the query: those that neither path nor body fills. Raises ContractError if one cannot be a parameter."""
        if self.body == "*":
            return []
        taken = {*self.variables, self.body}
        return [path for path in _leaves(self.rpc.input_type, (), self) if dotted(path) not in taken]

    def verify(self) -> None:
        """Raises ContractError if the request has a field that this route cannot carry."""
        self.path_fields()
        self.body_field()
        self.query_fields()

    def _resolved(self, name: str, plain: bool = True) -> FieldPath:
        path: FieldPath = ()
        message: Descriptor | None = self.rpc.input_type
        for part in name.split("."):
            field = message.fields_by_name.get(part) if message else None
            if field is None or (plain and field.is_repeated):
                raise ContractError(
                    f"{self}: `{name}` is not a singular field of {self.rpc.input_type.full_name}; name a field that the request has"
                )
            path, message = (*path, field), field.message_type
        if plain and message is not None:
            raise ContractError(f"{self}: `{name}` is a message, but a path contains scalar values; name one of its fields")
        return path

    def __str__(self) -> str:
        return f"{self.rpc.full_name} ({self.method} {self.template})"


def is_variable(segment: str) -> bool:
    """Whether a segment of a template is filled from a field."""
    return segment.startswith("{")


def dotted(path: FieldPath) -> str:
    """A field path in the notation of URLs and templates: `a.b`."""
    return ".".join(field.name for field in path)


def routes_of(contracts: Contracts, rpc: MethodDescriptor) -> list[Route]:
    """The routes of one rpc, additional bindings included.

    Raises ContractError if it has none, or an unsupported one: with a custom method, with wildcards, verbs or variables of several
    segments in the path, or with a `response_body`.
    """
    rule = contracts.option(rpc, "google.api.http")
    if rule is None:
        raise ContractError(f"{rpc.full_name}: missing option google.api.http; add it, or declare the rpc internal")
    return [_route(binding, rpc) for binding in (rule, *rule.additional_bindings)]


def _route(rule: Any, rpc: MethodDescriptor) -> Route:
    pattern = rule.WhichOneof("pattern")
    template = getattr(rule, pattern) if pattern and pattern != "custom" else ""
    if not _TEMPLATE.fullmatch(template) or rule.response_body:
        raise ContractError(
            f"{rpc.full_name}: unsupported route: use get, put, post, delete or patch, with a path of literals and of variables "
            "that match one segment, and without response_body"
        )
    return Route(method=pattern.upper(), template=template, body=rule.body, rpc=rpc)


def _leaves(message: Descriptor, before: FieldPath, route: Route) -> Iterator[FieldPath]:
    """The fields of a message that can be query parameters, those of nested messages as `a.b`."""
    for field in message.fields:
        path = (*before, field)
        nested = field.message_type
        if dotted(path) == route.body:
            continue
        if nested is None or (nested.full_name in _MESSAGES_IN_QUERY and not field.is_repeated):
            yield path
        elif field.is_repeated or nested.full_name.startswith("google.") or nested in [above.message_type for above in before]:
            raise ContractError(f'{route}: `{dotted(path)}` cannot be sent in a query; add `body: "*"` to the route, or remove the field')
        else:
            yield from _leaves(nested, path, route)
