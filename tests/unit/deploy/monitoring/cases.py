"""For each alert, metrics with which it fires and metrics with which it does not, as `promtool test rules` reads them."""

from collections.abc import Mapping
from dataclasses import dataclass

Series = Mapping[str, str]
"""The values of each series: `0+6x60` is 0, 6, 12, … 60 times after the first, `7x60` is always 7."""

_LIST = 'grpc_server_handled_total{grpc_method="/agentmesh.registry.v1.RegistryService/ListAgents",grpc_code="%s"}'
_CALL = 'grpc_server_handled_total{grpc_method="/agentmesh.execution.v1.ExecutionService/ExecuteAgent",grpc_code="%s"}'
_HEALTH = 'grpc_server_handled_total{grpc_method="/agentmesh.health.v1.HealthService/GetReadiness",grpc_code="%s"}'
_TIMED = 'grpc_server_handling_seconds_%s{%sgrpc_method="/agentmesh.registry.v1.RegistryService/ListAgents"}'
_COUNT, _FAST = _TIMED % ("count", ""), _TIMED % ("bucket", 'le="0.25",')
_OVERFLOWS = {
    f'envoy_cluster_upstream_{name}{{envoy_cluster_name="orchestrator"}}': "0x60"
    for name in ("rq_pending_overflow", "rq_active_overflow", "cx_overflow")
}
_REQUESTS = 'agent_requests_total{agent_name="Auditor",status="%s"}'
_ENDED = 'executions_ended_total{state="%s",reason="%s"}'
_REFUSED = 'rate_limit_refused_total{limit="%s",caller="%s"}'


@dataclass(frozen=True)
class Case:
    """`fires` and `quiet` are looked at after `minutes`; their values come every `interval_minutes`.

    The rules are evaluated every `evaluated_minutes`. Long windows do not have to be full: they use the values that there are.
    """

    fires: Series
    quiet: Series
    minutes: int = 30
    interval_minutes: int = 1
    evaluated_minutes: int = 1


CASES: Mapping[str, Case] = {
    # One call in fifty fails: 20 times the budget. What a caller or the provider is responsible for is no failure, and neither are probes.
    "CallsFailingFast": Case(
        {_LIST % "OK": "0+588x60", _LIST % "INTERNAL": "0+12x60"},
        {
            _LIST % "OK": "0+588x60",
            _LIST % "RESOURCE_EXHAUSTED": "0+300x60",
            _CALL % "INTERNAL": "0+300x60",
            _HEALTH % "UNAVAILABLE": "0+600x60",
        },
    ),
    # One call in 250 fails: four times the budget, too slow for the first alert.
    "CallsFailingSlowly": Case(
        {_LIST % "OK": "0+996x60", _CALL % "UNAVAILABLE": "0+4x60"},
        {_LIST % "OK": "0+9995x60", _CALL % "UNAVAILABLE": "0+5x60"},
    ),
    "CallsSlowFast": Case(
        {_COUNT: "0+600x60", _FAST: "0+480x60"},
        {_COUNT: "0+600x60", _FAST: "0+580x60"},
    ),
    "CallsSlowSlowly": Case(
        {_COUNT: "0+600x60", _FAST: "0+580x60"},
        {_COUNT: "0+600x60", _FAST: "0+597x60"},
    ),
    "ProcessDown": Case({'up{job="worker"}': "1x10 0x20"}, {'up{job="worker"}': "1x10 0 1x20", 'up{job="somebody-else"}': "0x30"}),
    "ProcessRestarting": Case({"process_start_time_seconds": "1x5 2x5 3x5 4x20"}, {"process_start_time_seconds": "1x5 2x30"}),
    "BackgroundTaskEnded": Case(
        {'background_task_failures_total{stops_process="yes"}': "0x20 1x10"},
        {'background_task_failures_total{stops_process="yes"}': "5x30"},
    ),
    "EventLoopBlocked": Case(
        {"event_loop_lag_seconds_sum": "0+24x30", "event_loop_lag_seconds_count": "0+100x30"},
        {"event_loop_lag_seconds_sum": "0+2x30", "event_loop_lag_seconds_count": "0+120x30"},
    ),
    "DatabasePoolFull": Case(
        {"db_pool_connections_in_use": "30x30", "db_pool_connections_limit": "30x30"},
        {"db_pool_connections_in_use": "26x30", "db_pool_connections_limit": "30x30"},
    ),
    "OpenFilesNearLimit": Case(
        {"process_open_fds": "900x30", "process_max_fds": "1000x30"}, {"process_open_fds": "700x30", "process_max_fds": "1000x30"}
    ),
    "GatewayWithoutOrchestrator": Case(
        {'envoy_cluster_membership_healthy{envoy_cluster_name="orchestrator"}': "1x10 0x20"},
        {'envoy_cluster_membership_healthy{envoy_cluster_name="orchestrator"}': "2x10 1x20"},
    ),
    "GatewayCircuitOpen": Case(
        {**_OVERFLOWS, 'envoy_cluster_upstream_rq_pending_overflow{envoy_cluster_name="orchestrator"}': "0x26 3x10"}, _OVERFLOWS
    ),
    "GatewayConnectionsNearLimit": Case(
        {"envoy_overload_envoy_resource_monitors_global_downstream_max_connections_pressure": "85x30"},
        {"envoy_overload_envoy_resource_monitors_global_downstream_max_connections_pressure": "60x30"},
    ),
    # The clock of these tests begins at 0. A process without TLS exports 0, and a gateway without TLS 4294967295 days.
    "CertificateExpiring": Case(
        {"mesh_certificate_expires_timestamp_seconds": "500000x30"},
        {
            'mesh_certificate_expires_timestamp_seconds{job="worker"}': "0x30",
            'mesh_certificate_expires_timestamp_seconds{job="orchestrator"}': "900000x30",
            "envoy_server_days_until_first_cert_expiring": "4294967295x30",
        },
    ),
    "DefinitionsRefused": Case({"definition_problems": "0x10 1x20"}, {"definition_problems": "0x30"}),
    "DefinitionsDiffer": Case(
        {'definition_agents{job="worker"}': "1500x30", 'definition_agents{job="orchestrator"}': "1499x30"},
        {'definition_agents{job="worker"}': "1500x30", 'definition_agents{job="orchestrator"}': "1499x20 1500x10"},
    ),
    "StepsWaiting": Case({"workflow_queue_age_seconds": "45x30"}, {"workflow_queue_age_seconds": "20x30"}),
    "WorkerSlotsFull": Case(
        {'workflow_steps_held{instance="a"}': "64x30", 'workflow_slots{instance="a"}': "64x30"},
        {
            'workflow_steps_held{instance="a"}': "64x30",
            'workflow_slots{instance="a"}': "64x30",
            'workflow_steps_held{instance="b"}': "3x30",
            'workflow_slots{instance="b"}': "64x30",
        },
    ),
    "EventsWithoutPosition": Case({'outbox_lag_seconds{for="position"}': "60x30"}, {'outbox_lag_seconds{for="position"}': "1x30"}),
    "EventsNotInKafka": Case({'outbox_lag_seconds{for="kafka"}': "400x30"}, {'outbox_lag_seconds{for="kafka"}': "100x30"}),
    "AnalyticsBehind": Case({"usage_lag_seconds": "90x30"}, {"usage_lag_seconds": "4x30"}),
    "ConsumerBehind": Case(
        {
            'consumer_lag_messages{consumer="counts",instance="a"}': "6000x30",
            'consumer_lag_messages{consumer="counts",instance="b"}': "6000x30",
        },
        {'consumer_lag_messages{consumer="counts"}': "500x30"},
    ),
    "DeadEvents": Case(
        {'consumer_events_total{consumer="counts",outcome="dead"}': "0x20 1x10"},
        {
            'consumer_events_total{consumer="counts",outcome="dead"}': "0x30",
            'consumer_events_total{consumer="counts",outcome="new"}': "0+9x30",
        },
    ),
    "ProviderFailing": Case(
        {_REQUESTS % "success": "0+80x30", _REQUESTS % "llm_api_error": "0+15x30", _REQUESTS % "llm_api_timeout": "0+5x30"},
        {_REQUESTS % "success": "0+80x30", _REQUESTS % "answer_incomplete": "0+20x30", _REQUESTS % "llm_api_error": "0+5x30"},
    ),
    "ExecutionsFailing": Case(
        {_ENDED % ("completed", ""): "0+90x30", _ENDED % ("failed", "AGENT_UNAVAILABLE"): "0+10x30"},
        {_ENDED % ("completed", ""): "0+90x30", _ENDED % ("failed", "LLM_API_ERROR"): "0+10x30"},
    ),
    "ExecutionsOrphaned": Case({"executions_orphaned_total": "0x20 3x10"}, {"executions_orphaned_total": "3x30"}),
    "SettlementsRefused": Case({"settlements_refused_total": "0x20 1x10"}, {"settlements_refused_total": "0x30"}),
    # 10 dollars an hour for two days, then 60; and 60 all the time.
    "SpendUnusual": Case(
        {'execution_cost_micro_usd_total{model="a"}': "0+1666666x288 480000000+10000000x30"},
        {'execution_cost_micro_usd_total{model="a"}': "0+10000000x320"},
        3000,
        interval_minutes=10,
        evaluated_minutes=60,
    ),
    "InstallationLimitReached": Case(
        {_REFUSED % ("streams", "everyone"): "0+60x30"},
        {_REFUSED % ("streams", "everyone"): "0x30", _REFUSED % ("calls", "user"): "0+60x30"},
    ),
    "LimitsRefuseManyCalls": Case(
        {_REFUSED % ("calls", "user"): "0+60x60", _LIST % "OK": "0+60x60", _LIST % "RESOURCE_EXHAUSTED": "0+60x60"},
        {_REFUSED % ("calls", "user"): "0+6x60", _LIST % "OK": "0+60x60", _LIST % "RESOURCE_EXHAUSTED": "0+6x60"},
        60,
    ),
    "LimitsWithoutRedis": Case({"rate_limit_local_total": "0x10 10+10x30"}, {"rate_limit_local_total": "10x40"}),
}
