"""Calls the platform with the client that openapi-python-client generated."""

import json
import sys

from generated import AuthenticatedClient
from generated.api.execution_service import execution_service_execute_agent, execution_service_stream_agent
from generated.api.registry_service import registry_service_get_agent, registry_service_list_agents
from generated.api.workflow_service import workflow_service_create_workflow
from generated.models import ApprovalInput, TaskInput
from generated.models.execution_service_execute_agent_execute_agent_request_input import (
    ExecutionServiceExecuteAgentExecuteAgentRequestInput as Work,
)
from generated.models.execution_service_stream_agent_stream_agent_request_input import (
    ExecutionServiceStreamAgentStreamAgentRequestInput as Streaming,
)
from generated.models.workflow_service_create_workflow_create_workflow_request_input import (
    WorkflowServiceCreateWorkflowCreateWorkflowRequestInput as NewWorkflow,
)

url, token, agent = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=token)
agents = registry_service_list_agents.sync(client=client, limit=1)
answer = execution_service_execute_agent.sync(agent, client=client, body=Work(input_="Help"))
task = TaskInput(id="plan", agent_id=agent, input_="Plan", approval=ApprovalInput())
made = workflow_service_create_workflow.sync(client=client, body=NewWorkflow(name="Generated", tasks=[task]))
stream = execution_service_stream_agent.sync(agent, client=client, body=Streaming(input_="Help"))
missing = registry_service_get_agent.sync_detailed("nope", client=client)
sys.stdout.write(
    json.dumps(
        {
            "agents": len(agents.agents),
            "answered": answer.result != "",
            "timeout": made.workflow.tasks[0].approval.timeout_seconds,
            "streamed": '"done"' in stream,
            "missing": int(missing.status_code),
        }
    )
)
