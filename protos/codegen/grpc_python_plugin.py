"""A protoc plugin for gRPC's Python stubs.

gRPC ships its Python generator only inside `grpc_tools.protoc`, not as a program that buf can call. This plugin forwards buf's
request to it and returns the files.
"""

import sys
import tempfile
from pathlib import Path

from google.protobuf.compiler import plugin_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc


def generate(request: plugin_pb2.CodeGeneratorRequest) -> plugin_pb2.CodeGeneratorResponse:
    """The stubs of the files that have services. `error` is set if gRPC's generator fails."""
    response = plugin_pb2.CodeGeneratorResponse(supported_features=plugin_pb2.CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL)
    with_services = {file.name for file in request.proto_file if file.service}
    targets = [name for name in request.file_to_generate if name in with_services]
    if not targets:
        return response
    with tempfile.TemporaryDirectory() as folder:
        descriptors = Path(folder, "request.binpb")
        descriptors.write_bytes(FileDescriptorSet(file=request.proto_file).SerializeToString())
        out = Path(folder, "out")
        out.mkdir()
        arguments = [f"--descriptor_set_in={descriptors}", f"--grpc_python_out={out}", *targets]
        if protoc.main(["protoc", *arguments]) != 0:
            response.error = "grpc_tools.protoc failed; see its message above"
        for path in sorted(out.rglob("*.py")):
            response.file.add(name=str(path.relative_to(out)), content=path.read_text())
    return response


if __name__ == "__main__":
    sys.stdout.buffer.write(generate(plugin_pb2.CodeGeneratorRequest.FromString(sys.stdin.buffer.read())).SerializeToString())
