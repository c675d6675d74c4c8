"""The interceptors of every server of the mesh, in their one order."""

from collections.abc import Sequence

import grpc

from mesh.rpc.interceptors.admission import AdmissionControl
from mesh.rpc.interceptors.behaviour import BehaviourInterceptor, OncePerMethod
from mesh.rpc.interceptors.errors import ErrorBoundary
from mesh.rpc.interceptors.telemetry import Telemetry
from mesh.rpc.interceptors.validation import RequestValidation
from mesh.rpc.requests.request_limits import DEFAULT_LIMITS, RequestLimits


def chain(
    *checks: BehaviourInterceptor, admission: AdmissionControl | None = None, limits: RequestLimits = DEFAULT_LIMITS
) -> Sequence[grpc.aio.ServerInterceptor]:
    """The interceptors of one server, outermost first.

    Admission control comes before everything else, because a refusal must cost next to nothing. Telemetry encloses the error boundary
    and so sees the final status. `checks` decide about the caller; they run before anything in the request is looked at, so a caller
    without permission learns nothing from the validation of a request. `limits` bound what the free-form values of a request may hold.
    """
    outer = (admission,) if admission is not None else ()
    return (*outer, OncePerMethod(), Telemetry(), ErrorBoundary(), *checks, RequestValidation(limits))
