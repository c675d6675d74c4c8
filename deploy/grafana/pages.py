"""The dashboards: service levels, work, processes, gateway."""

from deploy.grafana.model import Dashboard, Line, Panel, Section

_PUBLIC = 'grpc_method=~"/agentmesh\\\\.(analytics|event|execution|identity|registry|workflow)\\\\..+"'
_QUICK = 'grpc_method!~".+/(ExecuteAgent|StreamAgent|Watch.+|Register|Login|RefreshToken|ChangePassword|CreateUser)"'


def _quantiles(metric: str, by: str, legend: str, matchers: str = "") -> tuple[Line, ...]:
    """The median and the 99th percentile of a histogram."""
    grouping = ", ".join(filter(None, ("le", by)))
    of = f"sum by ({grouping}) (rate({metric}_bucket{{{matchers}}}[$__rate_interval]))"
    return tuple(Line(f"histogram_quantile({share}, {of})", f"{name} {legend}".strip()) for share, name in ((0.5, "p50"), (0.99, "p99")))


def _rate(metric: str, by: str, matchers: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{{{matchers}}}[$__rate_interval]))"


_EVERY_PROCESS = "{{job}} {{instance}}"
_CHOSEN = 'instance=~"$instance"'

SERVICE_LEVELS = Dashboard(
    "agentmesh-service-levels",
    "AgentMesh: service levels",
    "Do callers get answers, how fast, and what do they cost?",
    (
        Section(
            "Objectives over 30 days: availability 99.9 %, latency 99 % within 250 ms",
            (
                Panel(
                    "Spent share of the availability budget",
                    "percentunit",
                    "Failed calls of the last 30 days, as a share of the 0.1 % that may fail. The docs/runbook.md says what counts.",
                    (
                        Line(
                            "avg_over_time(agentmesh:calls_failed:rate5m[30d]) / avg_over_time(agentmesh:calls:rate5m[30d]) / 0.001",
                            "spent",
                        ),
                    ),
                    warns_above=1,
                ),
                Panel(
                    "Spent share of the latency budget",
                    "percentunit",
                    "Calls of the last 30 days that took longer than 250 ms, as a share of the 1 % that may.",
                    (
                        Line(
                            "avg_over_time(agentmesh:calls_slow:rate5m[30d]) / avg_over_time(agentmesh:calls_timed:rate5m[30d]) / 0.01",
                            "spent",
                        ),
                    ),
                    warns_above=1,
                ),
                Panel(
                    "How fast the budgets are spent",
                    "short",
                    "1 spends a budget in exactly 30 days. CallsFailingFast and CallsSlowFast fire at 14.4 for an hour.",
                    (
                        Line(
                            "avg_over_time(agentmesh:calls_failed:rate5m[1h]) / avg_over_time(agentmesh:calls:rate5m[1h]) / 0.001",
                            "availability, 1 h",
                        ),
                        Line(
                            "avg_over_time(agentmesh:calls_slow:rate5m[1h]) / avg_over_time(agentmesh:calls_timed:rate5m[1h]) / 0.01",
                            "latency, 1 h",
                        ),
                    ),
                    warns_above=14.4,
                ),
            ),
        ),
        Section(
            "Calls",
            (
                Panel(
                    "Calls by code",
                    "reqps",
                    "Public calls that reached an orchestrator. INTERNAL, UNKNOWN, DATA_LOSS and UNAVAILABLE are failures of the platform.",
                    (Line(_rate("grpc_server_handled_total", "grpc_code", _PUBLIC), "{{grpc_code}}"),),
                    stacked=True,
                ),
                Panel(
                    "Calls that no orchestrator answered",
                    "reqps",
                    "Refused by the gateway in an overload, or lost between gateway and orchestrators. Should be 0.",
                    (
                        Line("agentmesh:calls_refused_in_overload:rate5m", "refused in an overload"),
                        Line("agentmesh:calls_lost_at_gateway:rate5m", "lost at the gateway"),
                    ),
                ),
                Panel(
                    "Duration of calls that call no agent",
                    "s",
                    "As the orchestrator measures it, without streams and without calls that may wait for a password hash.",
                    _quantiles("grpc_server_handling_seconds", "", "", f"{_PUBLIC}, {_QUICK}"),
                    warns_above=0.25,
                ),
                Panel(
                    "Agent calls by outcome",
                    "reqps",
                    "Turns of the agent hosts. llm_api_error and llm_api_timeout are the provider's failures.",
                    (Line(_rate("agent_requests_total", "status"), "{{status}}"),),
                    stacked=True,
                ),
                Panel(
                    "Duration of agent calls",
                    "s",
                    "From the arrival at the agent host to the end of the answer. The provider decides most of it.",
                    _quantiles("agent_processing_seconds", "", ""),
                ),
                Panel(
                    "Refusals by limit",
                    "reqps",
                    "Limits of users, keys and addresses are the callers' affair; those of everyone are ours (InstallationLimitReached).",
                    (Line(_rate("rate_limit_refused_total", "limit, caller"), "{{limit}} ({{caller}})"),),
                ),
            ),
        ),
        Section(
            "Money and the books",
            (
                Panel(
                    "Spend per hour, by model",
                    "currencyUSD",
                    "Cost of the executions that analytics counted within the last hour, at list prices.",
                    (Line("sum by (model) (increase(execution_cost_micro_usd_total[1h])) / 1e6", "{{model}}"),),
                    warns_above=20,
                    stacked=True,
                ),
                Panel(
                    "Executions that did not complete",
                    "reqps",
                    "By state and error. AGENT_EXECUTION_FAILED, AGENT_UNAVAILABLE, SERVICE_UNAVAILABLE and INTERNAL are the platform's.",
                    (Line(_rate("executions_ended_total", "state, reason", 'reason!=""'), "{{state}} {{reason}}"),),
                ),
                Panel(
                    "Executions that had to be reconciled",
                    "short",
                    "Calls whose process died, and outcomes that the database refused. Both are charged at their worst case.",
                    (
                        Line("sum(increase(executions_orphaned_total[1h]))", "orphaned"),
                        Line("sum(increase(settlements_refused_total[1h]))", "settlement refused"),
                    ),
                ),
            ),
        ),
    ),
)

WORK = Dashboard(
    "agentmesh-work",
    "AgentMesh: workflows and events",
    "Does work move on?",
    (
        Section(
            "Workflows",
            (
                Panel(
                    "Age of the oldest ready step",
                    "s",
                    "Above a second or two, steps wait for slots: add workers. StepsWaiting fires at 30 s.",
                    (Line("max(workflow_queue_age_seconds)", "oldest"),),
                    warns_above=30,
                ),
                Panel(
                    "Slots of the workers in use",
                    "percentunit",
                    "Steps that workers hold, as a share of WORKER_SLOTS.",
                    (Line("sum by (instance) (workflow_steps_held) / sum by (instance) (workflow_slots > 0)", "{{instance}}"),),
                    warns_above=0.95,
                ),
                Panel(
                    "Claims",
                    "ops",
                    "How often workers ask for steps, and whether they find any.",
                    (Line(_rate("workflow_claims_total", "found"), "found {{found}}"),),
                ),
                Panel(
                    "Runs by status",
                    "ops",
                    "Changes of runs, by the status that they reached.",
                    (Line(_rate("workflow_runs_total", "status"), "{{status}}"),),
                ),
                Panel(
                    "Steps by status",
                    "ops",
                    "Changes of steps, by the status that they reached.",
                    (Line(_rate("workflow_steps_total", "status"), "{{status}}"),),
                ),
            ),
        ),
        Section(
            "Events",
            (
                Panel(
                    "Lag of the outbox",
                    "s",
                    "Age of the oldest event that waits for its position in the log, or for Kafka.",
                    (Line("max by (for) (outbox_lag_seconds)", "{{for}}"),),
                    warns_above=30,
                ),
                Panel(
                    "Events that wait",
                    "short",
                    "In the outbox for their position or Kafka, and in the log for analytics.",
                    (Line("max by (for) (outbox_events)", "{{for}}"), Line("max(usage_lag_events)", "analytics")),
                ),
                Panel(
                    "Lag of analytics",
                    "s",
                    "Age of the oldest event that analytics has not counted.",
                    (Line("max(usage_lag_seconds)", "analytics"),),
                    warns_above=60,
                ),
                Panel(
                    "Messages that consumers have not read",
                    "short",
                    "In the partitions of each consumer.",
                    (Line("sum by (consumer) (consumer_lag_messages)", "{{consumer}}"),),
                    warns_above=10_000,
                ),
                Panel(
                    "Messages processed",
                    "ops",
                    "New, repeated (skipped) and dead ones (set aside in dead_events).",
                    (Line(_rate("consumer_events_total", "consumer, outcome"), "{{consumer}} {{outcome}}"),),
                ),
                Panel(
                    "Rows deleted by retention",
                    "ops",
                    "Rows that were older than their retention, by table.",
                    (Line(_rate("retention_deleted_total", "table"), "{{table}}"),),
                ),
            ),
        ),
    ),
)

PROCESSES = Dashboard(
    "agentmesh-processes",
    "AgentMesh: processes",
    "Which process is near a limit?",
    (
        Section(
            "Saturation",
            (
                Panel(
                    "CPU",
                    "percentunit",
                    "Share of a core. A process uses at most about one core: add replicas before that.",
                    (Line(f"rate(process_cpu_seconds_total{{{_CHOSEN}}}[$__rate_interval])", _EVERY_PROCESS),),
                    warns_above=0.9,
                ),
                Panel(
                    "Lag of the event loop, p99",
                    "s",
                    "How late timers run. Everything else in the process waits as long.",
                    (
                        Line(
                            f"histogram_quantile(0.99, {_rate('event_loop_lag_seconds_bucket', 'le, job, instance', _CHOSEN)})",
                            _EVERY_PROCESS,
                        ),
                    ),
                    warns_above=0.5,
                ),
                Panel(
                    "Database connections in use",
                    "percentunit",
                    "Share of DB_POOL_SIZE + DB_MAX_OVERFLOW. At 1, calls wait for a connection.",
                    (Line(f"db_pool_connections_in_use{{{_CHOSEN}}} / (db_pool_connections_limit{{{_CHOSEN}}} > 0)", _EVERY_PROCESS),),
                    warns_above=0.9,
                ),
                Panel(
                    "Memory",
                    "bytes",
                    "Resident memory. Steady growth under steady load is a leak.",
                    (Line(f"process_resident_memory_bytes{{{_CHOSEN}}}", _EVERY_PROCESS),),
                ),
                Panel(
                    "Open files",
                    "percentunit",
                    "Share of what the kernel allows (ulimit -n). At 1, no connection is accepted.",
                    (Line(f"process_open_fds{{{_CHOSEN}}} / process_max_fds{{{_CHOSEN}}}", _EVERY_PROCESS),),
                    warns_above=0.8,
                ),
                Panel(
                    "Open streams",
                    "short",
                    "Watches and agent streams, by process. LIMIT_STREAMS bounds them.",
                    (Line(f"open_streams{{{_CHOSEN}}}", _EVERY_PROCESS),),
                ),
            ),
        ),
        Section(
            "Health",
            (
                Panel(
                    "Uptime",
                    "s",
                    "Seconds since the start of each process. A saw-tooth is a restart.",
                    (Line(f"time() - process_start_time_seconds{{{_CHOSEN}}}", _EVERY_PROCESS),),
                ),
                Panel(
                    "Failed background tasks",
                    "short",
                    "Within an hour, by whether the process stops because of it.",
                    (
                        Line(
                            f"sum by (job, instance, stops_process) (increase(background_task_failures_total{{{_CHOSEN}}}[1h]))",
                            "{{job}} {{instance}} (stops: {{stops_process}})",
                        ),
                    ),
                ),
                Panel(
                    "Limits counted without Redis",
                    "ops",
                    "Calls whose limits a process counted by itself, because Redis did not answer within 25 ms.",
                    (Line(f"rate(rate_limit_local_total{{{_CHOSEN}}}[$__rate_interval])", _EVERY_PROCESS),),
                ),
                Panel(
                    "Agents read from the definitions",
                    "short",
                    "Should be the same in every process (DefinitionsDiffer).",
                    (Line(f"definition_agents{{{_CHOSEN}}}", _EVERY_PROCESS),),
                ),
                Panel(
                    "Problems of definitions",
                    "short",
                    "A file with a problem keeps its last valid version (DefinitionsRefused).",
                    (Line(f"definition_problems{{{_CHOSEN}}}", _EVERY_PROCESS),),
                ),
                Panel(
                    "Days until certificates expire",
                    "d",
                    "Of processes with TLS. CertificateExpiring fires below 7.",
                    (
                        Line(
                            f"((mesh_certificate_expires_timestamp_seconds{{{_CHOSEN}}} > 0) - time()) / 86400",
                            _EVERY_PROCESS,
                        ),
                        Line("envoy_server_days_until_first_cert_expiring < 4e9", "gateway {{instance}}"),
                    ),
                ),
            ),
        ),
    ),
    by_instance=True,
)

_UPSTREAM = 'envoy_cluster_name="orchestrator"'
_FRONT = 'envoy_http_conn_manager_prefix="gateway"'

GATEWAY = Dashboard(
    "agentmesh-gateway",
    "AgentMesh: gateway",
    "Envoy: what arrives, what is refused, and what the orchestrators do with it.",
    (
        Section(
            "Callers",
            (
                Panel(
                    "Requests by class of status",
                    "reqps",
                    "gRPC calls have status 200 whatever their outcome; the dashboard of service levels has their codes.",
                    (Line(_rate("envoy_http_downstream_rq_xx", "envoy_response_code_class", _FRONT), "{{envoy_response_code_class}}xx"),),
                    stacked=True,
                ),
                Panel(
                    "Duration of requests",
                    "ms",
                    "As the gateway measures it, with streams and agent calls.",
                    _quantiles("envoy_http_downstream_rq_time", "", "", _FRONT),
                ),
                Panel(
                    "Connections",
                    "short",
                    "Open connections of callers.",
                    (Line(f"envoy_http_downstream_cx_active{{{_FRONT}}}", "{{instance}}"),),
                ),
                Panel(
                    "Share of LIMIT_CONNECTIONS in use",
                    "percent",
                    "At 100 %, new connections are closed without an answer.",
                    (Line("envoy_overload_envoy_resource_monitors_global_downstream_max_connections_pressure", "{{instance}}"),),
                    warns_above=80,
                ),
                Panel(
                    "Connections refused",
                    "ops",
                    "Because of LIMIT_CONNECTIONS. Those of single addresses are among the refusals by limit.",
                    (Line(_rate("envoy_listener_downstream_global_cx_overflow", "instance"), "{{instance}}"),),
                ),
                Panel(
                    "Memory",
                    "bytes",
                    "Allocated by Envoy.",
                    (Line("envoy_server_memory_allocated", "{{instance}}"),),
                ),
            ),
        ),
        Section(
            "Orchestrators",
            (
                Panel(
                    "Healthy orchestrators",
                    "short",
                    "Of those that the gateway knows. At 0 it refuses every call (GatewayWithoutOrchestrator).",
                    (
                        Line(f"envoy_cluster_membership_healthy{{{_UPSTREAM}}}", "healthy {{instance}}"),
                        Line(f"envoy_cluster_membership_total{{{_UPSTREAM}}}", "known {{instance}}"),
                    ),
                ),
                Panel(
                    "Calls in flight",
                    "short",
                    "At the orchestrators. The circuit breaker opens at 8,192 for each.",
                    (Line(f"envoy_cluster_upstream_rq_active{{{_UPSTREAM}}}", "{{instance}}"),),
                ),
                Panel(
                    "Open circuit breakers",
                    "short",
                    "1 while a breaker is open. Probes have their own (high).",
                    (
                        Line(f"envoy_cluster_circuit_breakers_default_rq_open{{{_UPSTREAM}}}", "calls {{instance}}"),
                        Line(f"envoy_cluster_circuit_breakers_default_rq_pending_open{{{_UPSTREAM}}}", "waiting calls {{instance}}"),
                        Line(f"envoy_cluster_circuit_breakers_default_cx_open{{{_UPSTREAM}}}", "connections {{instance}}"),
                        Line(f"envoy_cluster_circuit_breakers_high_rq_open{{{_UPSTREAM}}}", "probes {{instance}}"),
                    ),
                ),
                Panel(
                    "Lost calls by cause",
                    "ops",
                    "Calls that no orchestrator answered. Should be 0.",
                    tuple(
                        Line(_rate(f"envoy_cluster_upstream_{metric}", "instance", _UPSTREAM), f"{cause} {{{{instance}}}}")
                        for metric, cause in (
                            ("cx_none_healthy", "no healthy orchestrator"),
                            ("rq_pending_overflow", "circuit breaker (waiting)"),
                            ("rq_active_overflow", "circuit breaker (in flight)"),
                            ("rq_pending_failure_eject", "no connection"),
                            ("rq_rx_reset", "reset"),
                            ("rq_timeout", "timeout"),
                        )
                    ),
                ),
                Panel(
                    "Failed connections",
                    "ops",
                    "Attempts of the gateway to connect to an orchestrator.",
                    (Line(_rate("envoy_cluster_upstream_cx_connect_fail", "instance", _UPSTREAM), "{{instance}}"),),
                ),
                Panel(
                    "Retries",
                    "ops",
                    "Only calls that read are repeated.",
                    (Line(_rate("envoy_cluster_upstream_rq_retry", "instance", _UPSTREAM), "{{instance}}"),),
                ),
            ),
        ),
    ),
)

DASHBOARDS = (SERVICE_LEVELS, WORK, PROCESSES, GATEWAY)
