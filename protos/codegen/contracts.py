"""The contracts as compiled by buf: services and messages with their comments and options.

Everything is looked up in a separate descriptor pool, so this works before the Python code is generated.
"""

from collections.abc import Iterator
from typing import Any

import protovalidate
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

OURS = "agentmesh."
ACCESS = "agentmesh.common.v1.access"


class ContractError(Exception):
    """The contracts contain something that the REST API cannot express; the message names the element."""


class Contracts:
    """A descriptor set with source info, made by `buf build` or protoc."""

    def __init__(self, files: FileDescriptorSet) -> None:
        self.files = files.file
        """The files, each after those that it imports."""
        self._pool = DescriptorPool()
        # A separate validator, because a validator caches rules by message name, regardless of the pool of the message.
        self._validator = protovalidate.Validator()
        self._comments: dict[str, str] = {}
        for file in files.file:
            self._pool.AddSerializedFile(file.SerializeToString())
            names = dict(_elements(file, (), file.package))
            for location in file.source_code_info.location:
                if name := names.get(tuple(location.path)):
                    self._comments[name] = _unwrapped(location.leading_comments)

    def services(self) -> list[ServiceDescriptor]:
        """The platform's services, sorted by name."""
        names = {f"{file.package}.{service.name}" for file in self.files for service in file.service}
        return [self._pool.FindServiceByName(name) for name in sorted(names) if name.startswith(OURS)]

    def public_services(self) -> list[ServiceDescriptor]:
        """The services that users can reach: at least one of their rpcs is not internal."""
        return [service for service in self.services() if self.public_rpcs(service)]

    def public_rpcs(self, service: ServiceDescriptor) -> list[MethodDescriptor]:
        """The rpcs of a service that are not internal, in the order of their declaration."""
        return [rpc for rpc in service.methods if not self.is_internal(rpc)]

    def access(self, rpc: MethodDescriptor) -> Any:
        """The option that declares what an rpc is (agentmesh.common.v1.Access), or None."""
        return self.option(rpc, ACCESS)

    def is_internal(self, rpc: MethodDescriptor) -> bool:
        """Whether the gateway does not forward the rpc."""
        access = self.access(rpc)
        return access is not None and (access.internal or access.WhichOneof("caller") == "mesh")

    def message(self, full_name: str) -> Descriptor:
        """The message of this name. Raises KeyError if there is none."""
        return self._pool.FindMessageTypeByName(full_name)

    def enum(self, full_name: str) -> EnumDescriptor:
        """The enum of this name. Raises KeyError if there is none."""
        return self._pool.FindEnumTypeByName(full_name)

    def new(self, message: Descriptor) -> Message:
        """An empty message of this type."""
        return GetMessageClass(message)()

    def comment(self, full_name: str) -> str:
        """The comment above an element, its lines joined to paragraphs; empty when it has none.

        A value of an enum is named like a field: `<enum>.<value>`.
        """
        return self._comments.get(full_name, "")

    def option(self, descriptor: Any, extension: str) -> Any:
        """The value of the custom option `extension` of a descriptor, or None if it is not set."""
        try:
            field = self._pool.FindExtensionByName(extension)
        except KeyError:
            return None
        raw = descriptor.GetOptions()
        options: Any = GetMessageClass(self.message(raw.DESCRIPTOR.full_name)).FromString(raw.SerializeToString())
        return options.Extensions[field] if options.HasExtension(field) else None

    def broken(self, message: Message) -> set[str]:
        """The fields of a message that violate their rules, as paths without subscripts: `a.b`."""
        paths = (violation.proto.field for violation in self._validator.collect_violations(message))
        return {".".join(element.field_name for element in path.elements) for path in paths if path}

    def rules(self, field: FieldDescriptor) -> Any:
        """The protovalidate rules of a field (buf.validate.FieldRules), or None."""
        return self.option(field, "buf.validate.field")


def real_oneofs(message: Descriptor) -> list[Any]:
    """The oneofs that the proto file declares. The compiler adds one named `_<field>` for every `optional` field; these are left out."""
    return [oneof for oneof in message.oneofs if not oneof.name.startswith("_")]


def _elements(parent: Message, path: tuple[int, ...], scope: str) -> Iterator[tuple[tuple[int, ...], str]]:
    """Every named element below a descriptor proto, with its path as SourceCodeInfo counts it."""
    for field, children in parent.ListFields():
        if not field.is_repeated or field.message_type is None or "name" not in field.message_type.fields_by_name:
            continue
        for index, child in enumerate(children):
            name = f"{scope}.{child.name}"
            yield (*path, field.number, index), name
            yield from _elements(child, (*path, field.number, index), name)


def _unwrapped(comment: str) -> str:
    paragraphs = "\n".join(line.strip() for line in comment.splitlines()).strip().split("\n\n")
    return "\n\n".join(" ".join(paragraph.splitlines()) for paragraph in paragraphs)
