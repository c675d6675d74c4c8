"""The names of spans' attributes: the only file that knows them.

They follow the semantic conventions 1.44 of OpenTelemetry, of which the GenAI names are still in development: a later SDK must not change
what dashboards query. `agentmesh.*` are the platform's own. No attribute carries content: no prompt, no answer, no context.
"""

SEMANTIC_CONVENTIONS = "https://opentelemetry.io/schemas/1.44.0"

ERROR_TYPE = "error.type"
"""The reason of the error, as in docs/errors.md."""
RPC_SYSTEM = "rpc.system.name"
RPC_METHOD = "rpc.method"
RPC_STATUS = "rpc.response.status_code"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"

OPERATION = "gen_ai.operation.name"
CHAT, INVOKE_AGENT = "chat", "invoke_agent"
PROVIDER = "gen_ai.provider.name"
AGENT_ID = "gen_ai.agent.id"
AGENT_NAME = "gen_ai.agent.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
REQUEST_STREAM = "gen_ai.request.stream"
RESPONSE_MODEL = "gen_ai.response.model"
FINISH_REASONS = "gen_ai.response.finish_reasons"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS = "gen_ai.usage.cache_creation.input_tokens"

REQUEST_ID = "agentmesh.request_id"
SAMPLED_FOR = "agentmesh.sampled_for"
"""`error` on a span that is exported only because of an error. Absent on the spans of a trace that was sampled at its beginning."""
EXECUTION_ID = "agentmesh.execution_id"
AGENT_REVISION = "agentmesh.agent.revision"
USAGE_ESTIMATED = "agentmesh.usage.estimated"
COST = "agentmesh.cost_micro_usd"
RUN_ID = "agentmesh.run_id"
WORKFLOW_ID = "agentmesh.workflow_id"
RUN_STATE = "agentmesh.run.state"
TASK_ID = "agentmesh.task_id"
ATTEMPT = "agentmesh.step.attempt"
EPOCH = "agentmesh.step.epoch"
