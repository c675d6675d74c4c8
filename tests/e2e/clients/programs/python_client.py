import os

from agentmesh_client import ApiKey, Client, NotFound, messages

with Client(os.environ["AGENTMESH_URL"], ApiKey(os.environ["AGENTMESH_API_KEY"])) as mesh:
    # Every agent of every page that the search finds, the most relevant first.
    found = mesh.registry.all_agents(messages.ListAgentsRequest(search="plan a product launch"))
    agent = next(found)
    print(agent.agent_id, agent.name)

    # One answer.
    question = messages.ExecuteAgentRequest(agent_id=agent.agent_id, input="Name three risks of a launch in May.")
    answer = mesh.execution.execute_agent(question, timeout=60)
    print(answer.result, answer.usage.cost_micro_usd)

    # The same, as it is written.
    for event in mesh.execution.stream_agent(messages.StreamAgentRequest(agent_id=agent.agent_id, input="And in June?")):
        print(event.delta.text, end="", flush=True)

    # In the background: the watch continues where it was if the connection breaks.
    run = mesh.workflow.start_agent(messages.StartAgentRequest(agent_id=agent.agent_id, input="And in July?")).run
    for change in mesh.workflow.watch_run(messages.WatchRunRequest(run_id=run.run_id)):
        print(change.sequence, change.WhichOneof("event"))

    try:
        mesh.registry.get_agent(messages.GetAgentRequest(agent_id="nobody"))
    except NotFound as error:
        print(error.reason, error.request_id)
