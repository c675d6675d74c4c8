// Calls the platform with the client that openapi-generator made for Go.
package main

import (
	"context"
	"encoding/json"
	"os"
	"strings"

	agentmesh "example.com/agentmesh"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	url, token, agent := os.Args[1], os.Args[2], os.Args[3]
	configuration := agentmesh.NewConfiguration()
	configuration.Servers = agentmesh.ServerConfigurations{{URL: url}}
	client := agentmesh.NewAPIClient(configuration)
	ctx := context.WithValue(context.Background(), agentmesh.ContextAccessToken, token)

	agents, _, err := client.RegistryServiceAPI.RegistryServiceListAgents(ctx).Limit(1).Execute()
	check(err)
	answer, _, err := client.ExecutionServiceAPI.ExecutionServiceExecuteAgent(ctx, agent).
		ExecuteAgentRequestInput(*agentmesh.NewExecuteAgentRequestInput("Help")).Execute()
	check(err)
	task := agentmesh.NewAgentmeshWorkflowV1TaskInput("plan", agent, "Plan")
	task.SetApproval(*agentmesh.NewAgentmeshWorkflowV1ApprovalInputWithDefaults())
	made, _, err := client.WorkflowServiceAPI.WorkflowServiceCreateWorkflow(ctx).
		CreateWorkflowRequestInput(*agentmesh.NewCreateWorkflowRequestInput("Generated", []agentmesh.AgentmeshWorkflowV1TaskInput{*task})).Execute()
	check(err)
	stream, _, err := client.ExecutionServiceAPI.ExecutionServiceStreamAgent(ctx, agent).
		StreamAgentRequestInput(*agentmesh.NewStreamAgentRequestInput("Help")).Execute()
	check(err)
	_, missing, err := client.RegistryServiceAPI.RegistryServiceGetAgent(ctx, "nope").Execute()
	if err == nil {
		panic("an agent that does not exist was found")
	}
	check(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"agents":   len(agents.Agents),
		"answered": answer.Result != "",
		"timeout":  made.Workflow.Tasks[0].Approval.GetTimeoutSeconds(),
		"streamed": strings.Contains(stream, "\"done\""),
		"missing":  missing.StatusCode,
	}))
}
