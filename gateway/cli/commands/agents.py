"""`agentmesh agents`: find agents and call them."""

import uuid
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.application import Key, Limit, Output, examples, group, printer_of, session_of
from gateway.cli.commands import calling
from gateway.cli.rendering import Column, Format, hint
from gateway.cli.words import count, money, one_line, seconds, state

if TYPE_CHECKING:
    from agentmesh.agent.v1.agent_pb2 import Agent

app = group("agents", "Find agents and call them.")
AgentId = Annotated[str, typer.Argument(metavar="AGENT", help="The id of an agent.", autocompletion=calling.complete_agent)]
Category = Annotated[str, typer.Option("--category", "-c", help="Only agents of this category.")]
Role = Annotated[str, typer.Option("--role", help="Only agents of this role.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="Only agents with this tag; repeatable.")]
EXAMPLE_CHARACTERS = 300
AGENTS = [
    Column("agent", lambda agent: agent.agent_id),
    Column("name", lambda agent: agent.name, grows=True),
    Column("category", lambda agent: agent.category, wide=True),
]


@app.command(
    epilog=examples(
        "agentmesh agents search technical seo audit", 'agentmesh agents search "my pod gets killed every night" --limit 3 --output json'
    )
)
def search(
    context: typer.Context,
    words: Annotated[list[str], typer.Argument(metavar="WORDS...", help="What the agent should be good at.")],
    category: Category = "",
    role: Role = "",
    tag: Tags = None,
    limit: Limit = 10,
    output: Output = Format.TABLE,
) -> None:
    """Search agents in plain words, the best first."""
    _list(context, " ".join(words), category, role, tag, limit, output)


@app.command("list", epilog=examples("agentmesh agents list --category marketing --limit 200"))
def list_agents(
    context: typer.Context, category: Category = "", role: Role = "", tag: Tags = None, limit: Limit = 50, output: Output = Format.TABLE
) -> None:
    """List agents in the order of their numbers."""
    _list(context, "", category, role, tag, limit, output)


def _list(context: typer.Context, words: str, category: str, role: str, tags: list[str] | None, limit: int, output: Format) -> None:
    from agentmesh.registry.v1 import registry_service_pb2 as pb
    from agentmesh.registry.v1.registry_service_pb2_grpc import RegistryServiceStub

    printer, session = printer_of(context, output, lists=True), session_of(context)
    stub = session.stub(RegistryServiceStub)
    request = pb.ListAgentsRequest(search=words, category=category, role=role, tags=tags or [], limit=min(limit, 200))
    answer = session.ask(stub.ListAgents, request)
    while len(answer.agents) < min(limit, answer.total):
        request.offset, request.limit = len(answer.agents), min(limit - len(answer.agents), 200)
        more = session.ask(stub.ListAgents, request).agents
        if not more:  # the catalogue has become smaller
            break
        answer.agents.extend(more)
    rows = list(answer.agents)
    if not rows and answer.nearest:
        hint("No agent is made for this. The nearest:")
        rows = list(answer.nearest)[:limit]
    printer.items(answer, rows, AGENTS, "No agent matches; try other words, or `agentmesh agents recommend`.")
    if not printer.documents and answer.total > len(answer.agents) > 0:
        hint(f"{len(answer.agents)} of {count(answer.total, 'agent')}; --limit shows more.")


@app.command(epilog=examples("agentmesh agents show marketing_seo_strategist_agent_1_1"))
def show(context: typer.Context, agent_id: AgentId, output: Output = Format.TABLE) -> None:
    """Show one agent: what it is for, its model, and the context it takes."""
    from agentmesh.registry.v1 import registry_service_pb2 as pb
    from agentmesh.registry.v1.registry_service_pb2_grpc import RegistryServiceStub

    printer, session = printer_of(context, output), session_of(context)
    answer = session.ask(session.stub(RegistryServiceStub).GetAgent, pb.GetAgentRequest(agent_id=agent_id))
    printer.fields(answer, _pairs(answer.agent))
    if not printer.documents and answer.agent.examples:
        example = one_line(answer.agent.examples[0])
        hint(f"\nFor example: {example if len(example) <= EXAMPLE_CHARACTERS else example[: EXAMPLE_CHARACTERS - 1] + '…'}")
        hint(f"Call it: agentmesh agents run {agent_id} INPUT --stream")


def _pairs(agent: "Agent") -> list[tuple[str, object]]:
    properties = agent.context_schema.fields["properties"].struct_value.fields if "properties" in agent.context_schema.fields else {}
    schema = agent.context_schema.fields
    required = {value.string_value for value in schema["required"].list_value.values} if "required" in schema else set()
    return [
        ("agent", agent.agent_id),
        ("name", agent.name),
        ("description", agent.description),
        ("category", agent.category),
        ("role", agent.role),
        ("tags", ", ".join(agent.tags)),
        ("model", agent.model),
        ("max tokens", f"{agent.max_tokens:,}"),
        ("context", ", ".join(f"{name} (required)" if name in required else name for name in sorted(properties))),
        ("port", agent.port),
        ("revision", agent.revision),
    ]


@app.command(epilog=examples("agentmesh agents recommend Our newsletter lands in the spam folder since Monday"))
def recommend(
    context: typer.Context,
    task: Annotated[list[str], typer.Argument(metavar="TASK...", help="The work to be done, in your words.")],
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=20)] = 5,
    category: Category = "",
    role: Role = "",
    tag: Tags = None,
    output: Output = Format.TABLE,
) -> None:
    """Recommend agents for a piece of work, with reasons and costs."""
    from agentmesh.registry.v1 import registry_service_pb2 as pb
    from agentmesh.registry.v1.registry_service_pb2_grpc import RegistryServiceStub

    printer, session = printer_of(context, output, lists=True), session_of(context)
    request = pb.RecommendAgentsRequest(task=" ".join(task), limit=limit, category=category, role=role, tags=tag or [])
    answer = session.ask(session.stub(RegistryServiceStub).RecommendAgents, request)
    if answer.no_fit and not printer.documents:
        hint("No agent is made for this work. The nearest:")
    columns = [
        Column("agent", lambda one: one.agent.agent_id),
        Column("cost", lambda one: money(one.estimate.cost_micro_usd), right=True),
        Column("time", lambda one: seconds(one.estimate.seconds), right=True),
        Column("name", lambda one: one.agent.name, below=True),
        Column("reason", lambda one: one.reason, below=True),
    ]
    printer.items(answer, answer.recommendations, columns, "No agent was found; describe the work in other words.")


@app.command(
    epilog=examples(
        'agentmesh agents run marketing_seo_strategist_agent_1_1 "What do people search before buying a cargo bike?" --stream',
        "agentmesh agents run AGENT - < brief.txt > answer.md",
        'agentmesh agents run AGENT "Plan a launch" --context audience=adults --context budget=500',
        'agentmesh agents run AGENT "A long report" --background',
    )
)
def run(
    context: typer.Context,
    agent_id: AgentId,
    text: Annotated[str, typer.Argument(metavar="INPUT", help="The input; - reads it from standard input.")],
    stream: Annotated[bool, typer.Option("--stream", help="Print the answer as it grows.")] = False,
    background: Annotated[bool, typer.Option("--background", help="Start it, and print the id of the run; see `runs watch`.")] = False,
    value: Annotated[
        list[str] | None, typer.Option("--context", "-C", metavar="NAME=VALUE", help="A value of the context; repeatable.")
    ] = None,
    context_file: Annotated[str, typer.Option("--context-file", help="The context as a JSON or YAML file.")] = "",
    timeout: Annotated[float, typer.Option("--timeout", min=1, max=600, help="The most seconds to wait.")] = 120,
    key: Key = "",
    output: Output = Format.TABLE,
) -> None:
    """Call an agent and print its answer."""
    call = calling.Call(agent_id, calling.input_of(text), calling.context_of(value or [], context_file), key or str(uuid.uuid4()), timeout)
    printer, session = printer_of(context, output), session_of(context)
    if background:
        calling.start(session, printer, call)
    elif stream:
        calling.stream(session, printer, call)
    else:
        calling.execute(session, printer, call)


@app.command(epilog=examples("agentmesh agents health marketing_seo_strategist_agent_1_1"))
def health(context: typer.Context, agent_id: AgentId, output: Output = Format.TABLE) -> None:
    """Check now whether an agent answers."""
    from agentmesh.registry.v1 import registry_service_pb2 as pb
    from agentmesh.registry.v1.registry_service_pb2_grpc import RegistryServiceStub

    printer, session = printer_of(context, output), session_of(context)
    answer = session.ask(session.stub(RegistryServiceStub).CheckAgentHealth, pb.CheckAgentHealthRequest(agent_id=agent_id))
    latency = f"{answer.health.latency_seconds * 1000:.0f} ms"
    printer.fields(
        answer, [("agent", agent_id), ("health", state(answer.health, "status")), ("port", answer.health.port), ("latency", latency)]
    )
