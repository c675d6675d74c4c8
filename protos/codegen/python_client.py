"""The generated half of the Python client: its messages and its services, under gateway/clients/python.

All messages that users can reach are in one file of a package of their own, `agentmesh_client`. Protobuf keeps the messages of a process in
one pool by file and by full name, so the original names would clash with code that somebody else generated from the same contracts.
Names do not travel: on the wire there are field numbers, and the paths of the rpcs, which keep theirs. Options are left out, because their
numbers would clash in the same way, and because the client does not need `buf/validate` and `google/api`.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from textwrap import fill, indent
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet

from protos.codegen.contracts import ContractError, Contracts

FOLDER = Path("gateway/clients/python")
PACKAGE = "agentmesh_client"
FILES = tuple(FOLDER / PACKAGE / name for name in ("messages_pb2.py", "messages_pb2.pyi", "services.py"))
_MESSAGES = f"{PACKAGE}/messages.proto"
_REASONS = "agentmesh.common.v1.ErrorReason"
_READ = 1
_REPEATABLE = {"Login", "RefreshToken", "CancelWorkflow", "CancelRun"}
"""Rpcs that change something and may still be sent twice: the second one has the effect, or the answer, of the first."""
_WIDTH = 120
_Named = Descriptor | EnumDescriptor


def render(contracts: Contracts, folder: Path) -> None:
    """Writes FILES below `folder`. Raises ContractError if the contracts do not fit into one Python module."""
    out = folder / FOLDER
    out.mkdir(parents=True, exist_ok=True)
    wanted = [*_reachable(contracts), contracts.enum(_REASONS)]
    _protoc(FileDescriptorSet(file=[*_imports(contracts), _merged(contracts, wanted)]), out)
    (out / PACKAGE / "services.py").write_text(_services(contracts), encoding="utf-8")


def _reachable(contracts: Contracts) -> list[_Named]:
    """The messages and enums that the public rpcs use, without those nested in others."""
    found: dict[str, _Named] = {}
    waiting: list[_Named] = [
        m for s in contracts.public_services() for rpc in contracts.public_rpcs(s) for m in (rpc.input_type, rpc.output_type)
    ]
    while waiting:
        named = waiting.pop()
        if not named.full_name.startswith("agentmesh.") or named.full_name in found:
            continue
        found[named.full_name] = named
        if isinstance(named, Descriptor):
            waiting += [used for field in named.fields if (used := field.message_type or field.enum_type)]
    return [named for named in found.values() if named.containing_type is None]


def _imports(contracts: Contracts) -> Iterator[FileDescriptorProto]:
    return (file for file in contracts.files if file.name in ("google/protobuf/struct.proto", "google/protobuf/timestamp.proto"))


def _merged(contracts: Contracts, wanted: Iterable[_Named]) -> FileDescriptorProto:
    """One file with these messages and enums, in the order of the contracts, and with their comments."""
    merged = FileDescriptorProto(name=_MESSAGES, package=PACKAGE, syntax="proto3", dependency=[file.name for file in _imports(contracts)])
    names = {named.full_name for named in wanted}
    for file in contracts.files:
        moved: dict[tuple[int, ...], int] = {}
        groups: list[tuple[int, Any, Any]] = [
            (FileDescriptorProto.MESSAGE_TYPE_FIELD_NUMBER, file.message_type, merged.message_type),
            (FileDescriptorProto.ENUM_TYPE_FIELD_NUMBER, file.enum_type, merged.enum_type),
        ]
        for number, source, target in groups:
            for index, element in enumerate(source):
                if f"{file.package}.{element.name}" in names:
                    moved[number, index] = len(target)
                    target.add().CopyFrom(element)
        for location in file.source_code_info.location:
            if (place := moved.get(tuple(location.path[:2]))) is not None:
                copy = merged.source_code_info.location.add()
                copy.CopyFrom(location)
                copy.path[1] = place
    _refuse_duplicates([message.name for message in merged.message_type] + [enum.name for enum in merged.enum_type])
    for message in merged.message_type:
        _rename(message)
    for enum in merged.enum_type:
        _plain(enum)
    return merged


def _refuse_duplicates(names: list[str]) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ContractError(f"{', '.join(twice)}: in two packages; the Python client has all messages in one module: rename one of them")


def _rename(message: DescriptorProto) -> None:
    entry = message.options.map_entry
    message.ClearField("options")
    if entry:
        message.options.map_entry = True
    for field in message.field:
        field.ClearField("options")
        if field.type_name:
            field.type_name = re.sub(r"^\.agentmesh\.\w+\.v\d+\.", f".{PACKAGE}.", field.type_name)
    for enum in message.enum_type:
        _plain(enum)
    for nested in message.nested_type:
        _rename(nested)


def _plain(enum: EnumDescriptorProto) -> None:
    enum.ClearField("options")
    for value in enum.value:
        value.ClearField("options")


def _protoc(files: FileDescriptorSet, out: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        descriptors = Path(folder, "messages.binpb")
        descriptors.write_bytes(files.SerializeToString())
        command = [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"--descriptor_set_in={descriptors}",
            f"--python_out={out}",
            f"--mypy_out=quiet:{out}",
        ]
        search = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        done = subprocess.run([*command, _MESSAGES], env={**os.environ, "PATH": search}, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ContractError(f"protoc cannot generate the messages of the Python client: {done.stderr.strip()[:1000]}")


def _services(contracts: Contracts) -> str:
    services = contracts.public_services()
    rpcs = [(service, rpc) for service in services for rpc in contracts.public_rpcs(service)]
    parts = [
        '"""Every service of the platform, for threads and for asyncio. Generated by `make gen`: do not edit."""\n',
        "from __future__ import annotations\n\nfrom collections.abc import AsyncIterator, Iterator\n",
        f"from {PACKAGE} import messages_pb2 as messages\nfrom {PACKAGE}.calls import AsyncCalls, Calls\nfrom {PACKAGE}.rpc import Rpc\n",
        "\n".join(_rpc(contracts, service, rpc) for service, rpc in rpcs) + "\n",
    ]
    for prefix in ("", "Async"):
        parts += ["\n" + _service(contracts, service, prefix) for service in services]
        parts.append(f"\n{_all_services(contracts, services, prefix)}")
    return "\n".join(parts)


def _rpc(contracts: Contracts, service: ServiceDescriptor, rpc: MethodDescriptor) -> str:
    repeatable = contracts.access(rpc).scope == _READ or "idempotency_key" in rpc.input_type.fields_by_name or rpc.name in _REPEATABLE
    path = f"/{service.full_name}/{rpc.name}"
    return f'_{_snake(rpc.name).upper()} = Rpc("{path}", messages.{rpc.output_type.name}, repeatable={repeatable})'


def _service(contracts: Contracts, service: ServiceDescriptor, prefix: str) -> str:
    head = f"class {prefix}{service.name}:\n{_docstring(contracts.comment(service.full_name))}\n\n"
    start = f"    def __init__(self, calls: {prefix}Calls) -> None:\n        self._calls = calls\n"
    methods = [method for rpc in contracts.public_rpcs(service) for method in _methods(contracts, rpc, prefix)]
    return "\n".join([head + start, *methods])


def _methods(contracts: Contracts, rpc: MethodDescriptor, prefix: str) -> Iterator[str]:
    name, docstring = _snake(rpc.name), indent(_docstring(contracts.comment(rpc.full_name)), "    ")
    arguments = f"(self, request: messages.{rpc.input_type.name}, *, timeout: float | None = None)"
    answer, call = f"messages.{rpc.output_type.name}", f"(_{name.upper()}, request, timeout)"
    if rpc.server_streaming:
        yield f"    def {name}{arguments} -> {prefix}Iterator[{answer}]:\n{docstring}\n        return self._calls.stream{call}\n"
        return
    keyword, wait = ("async def", "await ") if prefix else ("def", "")
    yield f"    {keyword} {name}{arguments} -> {answer}:\n{docstring}\n        return {wait}self._calls.unary{call}\n"
    if items := _items(rpc):
        every = f"all_{re.sub('^(list|get)_', '', name)}"
        promise = indent(_docstring(f"Every item of every page of {name}. `timeout` is for each page."), "    ")
        pages = f"self._calls.items(_{name.upper()}, request, timeout, messages.{items.message_type.name}, {items.name!r})".replace(
            "'", '"'
        )
        yield f"    def {every}{arguments} -> {prefix}Iterator[messages.{items.message_type.name}]:\n{promise}\n        return {pages}\n"


def _items(rpc: MethodDescriptor) -> Any:
    """The field with the items of a page; None if the rpc has no pages."""
    if not {"page_token", "offset"} & set(rpc.input_type.fields_by_name):
        return None
    return next(field for field in rpc.output_type.fields if field.is_repeated and field.message_type)


def _all_services(contracts: Contracts, services: list[ServiceDescriptor], prefix: str) -> str:
    lines = [
        f'class {prefix}Services:\n    """Every service, as attributes."""\n',
        f"    def __init__(self, calls: {prefix}Calls) -> None:",
    ]
    for service in services:
        lines.append(f"        self.{_snake(service.name.removesuffix('Service'))} = {prefix}{service.name}(calls)")
        lines.append(f'        """{fill(contracts.comment(service.full_name), 10_000).partition(". ")[0].rstrip(".")}."""')
    return "\n".join(lines) + "\n"


def _docstring(text: str) -> str:
    paragraphs = "\n\n".join(fill(paragraph, _WIDTH) for paragraph in text.replace('"""', "'''").replace("\\", "\\\\").split("\n\n"))
    end = "\n" if "\n" in paragraphs else ""
    return indent(f'"""{paragraphs}{end}"""', "    ")


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
