"""The parts of the contracts that the gateway needs: the public rpcs with their HTTP methods and paths."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet, MethodDescriptorProto

from mesh.rpc.access import RpcKind, declared

_VARIABLE = re.compile(r"\{[^=}]*}")
_TYPED_VARIABLE = re.compile(r"\{[^=}]*=([^}]*)}")
_WILDCARDS = {"*": "[^/]+", "**": ".+"}
_VERBS = ("get", "put", "post", "delete", "patch")


@dataclass(frozen=True, slots=True)
class Binding:
    """One HTTP method and path template by which an rpc can be called."""

    method: str
    template: str

    @property
    def path_regex(self) -> str:
        """A regular expression for the paths of the template. Like the transcoder, it accepts a trailing slash."""
        segments = _TYPED_VARIABLE.sub(r"\1", _VARIABLE.sub("*", self.template))
        return "".join(_WILDCARDS.get(part, re.escape(part)) for part in re.split(r"(\*\*?)", segments)) + "/?"


@dataclass(frozen=True, slots=True)
class Rpc:
    """A public rpc: one that the gateway forwards."""

    service: str
    name: str
    streams: bool
    bindings: tuple[Binding, ...]
    kind: RpcKind

    @property
    def path(self) -> str:
        """The HTTP/2 path of the rpc in gRPC."""
        return f"/{self.service}/{self.name}"

    @property
    def reads_only(self) -> bool:
        """Whether it can be repeated safely: it is bound only to GET and costs nothing."""
        return not self.is_agent_call and all(binding.method == "GET" for binding in self.bindings)

    @property
    def is_agent_call(self) -> bool:
        """Whether it calls an agent, so that it costs money and can take 600 s."""
        return self.kind is RpcKind.AGENT_CALL


def public_rpcs(descriptor_path: Path) -> list[Rpc]:
    """The public rpcs of a descriptor set (`gen/descriptor.binpb`), in the order of their declaration.

    Raises LookupError for an rpc with an HTTP binding that does not declare its access.
    """
    files = FileDescriptorSet.FromString(descriptor_path.read_bytes()).file
    return [
        rpc
        for file in files
        for service in file.service
        for method in service.method
        if (rpc := _public(f"{file.package}.{service.name}", method))
    ]


def allowed_methods(rpcs: Iterable[Rpc]) -> list[tuple[str, Sequence[str]]]:
    """Each REST path, as a regular expression, with the HTTP methods that it accepts."""
    methods: dict[str, set[str]] = defaultdict(set)
    for binding in (binding for rpc in rpcs for binding in rpc.bindings):
        methods[binding.path_regex].add(binding.method)
    return [(regex, sorted(allowed)) for regex, allowed in methods.items()]


def _public(service: str, method: MethodDescriptorProto) -> Rpc | None:
    """The rpc, unless it is internal or has no HTTP binding."""
    bound = tuple(binding for binding, _ in bindings(method))
    if not bound:
        return None
    access = declared(f"/{service}/{method.name}", method.options)
    return None if access.internal else Rpc(service, method.name, method.server_streaming, bound, access.kind)


def bindings(method: MethodDescriptorProto) -> Iterator[tuple[Binding, str]]:
    """The HTTP bindings of an rpc, each with the part of the request that the body fills: `*`, a field, or empty for none."""
    if not method.options.HasExtension(annotations_pb2.http):
        return
    rule = method.options.Extensions[annotations_pb2.http]
    for each in (rule, *rule.additional_bindings):
        yield _binding(each), each.body


def _binding(rule: http_pb2.HttpRule) -> Binding:
    pattern = rule.WhichOneof("pattern")
    if pattern not in _VERBS:
        raise ValueError(f"{rule}: unsupported HTTP method; use get, put, post, delete or patch")
    return Binding(pattern.upper(), getattr(rule, pattern))
