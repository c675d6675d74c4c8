"""Converts between the messages of agentmesh.agent.v1 and the host's own types."""

from typing import Any

from agentmesh.agent.v1 import agent_service_pb2 as pb
from agentmesh.common.v1 import answer_pb2

from agent_server.turn.turn import Result
from mesh.rpc.convert import given_values, struct, usage_to_proto

_STOP_REASONS = {
    "end_turn": answer_pb2.STOP_REASON_END_TURN,
    "max_tokens": answer_pb2.STOP_REASON_MAX_TOKENS,
    "stop_sequence": answer_pb2.STOP_REASON_STOP_SEQUENCE,
    "refusal": answer_pb2.STOP_REASON_REFUSAL,
    "model_context_window_exceeded": answer_pb2.STOP_REASON_CONTEXT_WINDOW,
    "tool_use": answer_pb2.STOP_REASON_TOOL_USE,
    "pause_turn": answer_pb2.STOP_REASON_PAUSE_TURN,
}


async def context_of(request: pb.ExecuteRequest | pb.StreamExecuteRequest) -> dict[str, Any] | None:
    """The request's context as plain values, or None if it has none."""
    return await given_values(request.context, "context") if request.HasField("context") else None


def execute_response(agent_name: str, result: Result) -> pb.ExecuteResponse:
    return pb.ExecuteResponse(
        agent_name=agent_name,
        result=result.text,
        execution_time=result.seconds,
        metadata=struct(result.metadata),
        usage=usage_to_proto(result.usage),
        facts=_facts(result),
    )


def events(agent_name: str, frame: str | Result | None) -> list[pb.StreamExecuteResponse]:
    """The events for a frame of text, for the result, or for a silence (None)."""
    if frame is None:
        return [pb.StreamExecuteResponse(heartbeat=pb.Heartbeat())]
    if isinstance(frame, str):
        return [pb.StreamExecuteResponse(delta=pb.Delta(text=frame))]
    return [
        pb.StreamExecuteResponse(usage=usage_to_proto(frame.usage)),
        pb.StreamExecuteResponse(done=_done(agent_name, frame)),
    ]


def _done(agent_name: str, result: Result) -> pb.Done:
    return pb.Done(agent_name=agent_name, execution_time=result.seconds, metadata=struct(result.metadata), facts=_facts(result))


def _facts(result: Result) -> answer_pb2.AnswerFacts:
    reason = _STOP_REASONS.get(result.stop_reason, answer_pb2.STOP_REASON_UNSPECIFIED)
    return answer_pb2.AnswerFacts(
        provider=result.provider,
        model=result.model,
        stop_reason=reason,
        stop_detail=result.stop_detail if reason else result.stop_reason,
        agent_revision=result.agent_revision,
        turns=1,
        redacted=result.redacted,
    )
