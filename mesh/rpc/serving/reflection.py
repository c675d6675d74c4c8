"""gRPC server reflection, v1 and v1alpha: grpcurl and others list and describe services with it.

grpcio ships v1alpha only, and newer clients ask for v1. The two differ only in the package's name: the messages have the same fields.
"""

from collections.abc import Iterable

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import reflection, reflection_pb2

SERVICE_NAME_V1 = "grpc.reflection.v1.ServerReflection"
_FILE_V1 = "grpc/reflection/v1/reflection.proto"
_ALPHA, _V1 = "grpc.reflection.v1alpha", "grpc.reflection.v1"


def add_reflection_service(server: grpc.aio.Server, services: Iterable[str]) -> None:
    """Serves reflection of `services` (full names) and of itself."""
    _declare_v1()
    names = (*services, reflection.SERVICE_NAME, SERVICE_NAME_V1)
    reflection.enable_server_reflection(names, server)
    servicer = reflection.aio.ReflectionServicer(names)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE_NAME_V1, {"ServerReflectionInfo": handler}),))


def _declare_v1() -> None:
    """Puts the contract of v1 into the pool, so that v1 can describe itself."""
    pool = descriptor_pool.Default()
    try:
        pool.FindFileByName(_FILE_V1)
    except KeyError:
        v1 = descriptor_pb2.FileDescriptorProto()
        reflection_pb2.DESCRIPTOR.CopyToProto(v1)
        v1.name, v1.package = _FILE_V1, _V1
        for message in v1.message_type:
            for field in message.field:
                if field.type_name:
                    field.type_name = field.type_name.replace(f".{_ALPHA}.", f".{_V1}.")
        for method in v1.service[0].method:
            method.input_type = method.input_type.replace(f".{_ALPHA}.", f".{_V1}.")
            method.output_type = method.output_type.replace(f".{_ALPHA}.", f".{_V1}.")
        pool.Add(v1)
