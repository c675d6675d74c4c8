import asyncio
import os

from agentmesh_client import AsyncClient, Session, messages


async def main() -> None:
    session = Session(os.environ["AGENTMESH_USERNAME"], os.environ["AGENTMESH_PASSWORD"])
    async with AsyncClient(os.environ["AGENTMESH_URL"], session) as mesh:
        agents = await mesh.registry.list_agents(messages.ListAgentsRequest(search="seo", limit=1))
        agent_id = agents.agents[0].agent_id
        plan = messages.Task(id="plan", agent_id=agent_id, input="Plan the launch.")
        write = messages.Task(id="write", agent_id=agent_id, input="Write the announcement: {{tasks.plan.result}}")
        made = await mesh.workflow.create_workflow(messages.CreateWorkflowRequest(name="Launch", tasks=[plan, write]))
        run = (await mesh.workflow.execute_workflow(messages.ExecuteWorkflowRequest(workflow_id=made.workflow.workflow_id))).run
        async for change in mesh.workflow.watch_run(messages.WatchRunRequest(run_id=run.run_id)):
            if change.step.step.status == messages.STEP_STATUS_COMPLETED:
                print(change.step.step.task_id, change.step.step.result)


asyncio.run(main())
