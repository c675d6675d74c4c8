from collections.abc import Callable

import grpc
import pytest

from mesh.errors import MeshError
from mesh.rpc.status import TABLE, status_of, trailing_details

AsReceived = Callable[[MeshError], grpc.aio.AioRpcError]


@pytest.fixture
def as_received() -> AsReceived:
    """The exception that a client's stub raises for an error, with the status in the trailers as gRPC delivers it."""

    def received(error: MeshError) -> grpc.aio.AioRpcError:
        status = status_of(error, "req_test")
        trailers = grpc.aio.Metadata(("x-request-id", "req_test"), trailing_details(status))
        return grpc.aio.AioRpcError(TABLE[error.reason].code, grpc.aio.Metadata(), trailers, status.message)

    return received
