import java.util.List;
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.api.ExecutionServiceApi;
import org.openapitools.client.api.RegistryServiceApi;
import org.openapitools.client.api.WorkflowServiceApi;
import org.openapitools.client.model.AgentmeshWorkflowV1ApprovalInput;
import org.openapitools.client.model.AgentmeshWorkflowV1TaskInput;
import org.openapitools.client.model.CreateWorkflowRequestInput;
import org.openapitools.client.model.ExecuteAgentRequestInput;
import org.openapitools.client.model.StreamAgentRequestInput;

/** Calls the platform with the client that openapi-generator made for Java. */
public class Calls {
  public static void main(String[] args) throws Exception {
    String agent = args[2];
    ApiClient client = new ApiClient();
    client.setBasePath(args[0]);
    client.addDefaultHeader("authorization", "Bearer " + args[1]);
    RegistryServiceApi registry = new RegistryServiceApi(client);
    ExecutionServiceApi executions = new ExecutionServiceApi(client);
    WorkflowServiceApi workflows = new WorkflowServiceApi(client);

    int agents = registry.registryServiceListAgents(null, null, 1, null, null, null, null, null, null).getAgents().size();
    String answer = executions.executionServiceExecuteAgent(agent, new ExecuteAgentRequestInput().input("Help"), null, null).getResult();
    AgentmeshWorkflowV1TaskInput task =
        new AgentmeshWorkflowV1TaskInput().id("plan").agentId(agent).input("Plan").approval(new AgentmeshWorkflowV1ApprovalInput());
    CreateWorkflowRequestInput wanted = new CreateWorkflowRequestInput().name("Generated").tasks(List.of(task));
    int timeout =
        workflows.workflowServiceCreateWorkflow(wanted, null, null).getWorkflow().getTasks().get(0).getApproval().getTimeoutSeconds();
    String stream = executions.executionServiceStreamAgent(agent, new StreamAgentRequestInput().input("Help"), null, null);
    int missing = 200;
    try {
      registry.registryServiceGetAgent("nope", null);
    } catch (ApiException failure) {
      missing = failure.getCode();
    }
    System.out.printf(
        "{\"agents\": %d, \"answered\": %b, \"timeout\": %d, \"streamed\": %b, \"missing\": %d}%n",
        agents, !answer.isEmpty(), timeout, stream.contains("\"done\""), missing);
    System.exit(0);
  }
}
