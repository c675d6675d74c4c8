"""`agentmesh keys`: API keys for programs."""

import uuid
from datetime import timedelta
from typing import Annotated, Any

import typer

from gateway.cli.application import Limit, Output, examples, group, printer_of, session_of
from gateway.cli.errors import CliError
from gateway.cli.exits import Exit
from gateway.cli.rendering import Column, Format, hint
from gateway.cli.words import moment, state_of
from mesh.clock import SYSTEM_CLOCK

app = group("keys", "Create, list and revoke API keys.")
SCOPES = ("read", "execute", "manage")
Scopes = Annotated[
    list[str] | None,
    typer.Option("--scope", help="read, execute or manage; repeatable. Default: read and execute.", autocompletion=lambda: list(SCOPES)),
]


@app.command(epilog=examples("agentmesh keys create ci --scope read --days 90", "export AGENTMESH_API_KEY=$(agentmesh keys create ci)"))
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the key is for.")],
    scope: Scopes = None,
    days: Annotated[int, typer.Option("--days", min=0, help="Days until it expires; 0 never.")] = 0,
    output: Output = Format.TABLE,
) -> None:
    """Create a key, and print its secret, which is shown this once."""
    from agentmesh.common.v1 import access_pb2
    from agentmesh.identity.v1 import identity_service_pb2 as pb
    from agentmesh.identity.v1.identity_service_pb2_grpc import AuthServiceStub

    printer, session = printer_of(context, output), session_of(context)
    scope = scope or ["read", "execute"]
    if unknown := [one for one in scope if one not in SCOPES]:
        raise CliError(f"invalid --scope '{unknown[0]}'", f"use {', '.join(SCOPES)}", Exit.USAGE)
    numbers: list[Any] = [access_pb2.AccessScope.Value(f"ACCESS_SCOPE_{one.upper()}") for one in dict.fromkeys(scope)]
    request = pb.CreateApiKeyRequest(name=name, scopes=numbers, idempotency_key=str(uuid.uuid4()))
    if days:
        request.expires_at.FromDatetime(SYSTEM_CLOCK.now() + timedelta(days=days))
    answer = session.ask(session.stub(AuthServiceStub).CreateApiKey, request)
    if printer.documents:
        printer.document(answer)
        return
    typer.echo(answer.secret)
    hint(f"This is the only time that the secret is shown. Revoke it with `agentmesh keys revoke {answer.api_key.api_key_id}`.")


@app.command("list")
def list_keys(
    context: typer.Context,
    user: Annotated[int, typer.Option("--user", min=0, help="Those of the user with this id; for administrators.")] = 0,
    limit: Limit = 50,
    output: Output = Format.TABLE,
) -> None:
    """List the keys."""
    from agentmesh.identity.v1 import identity_service_pb2 as pb
    from agentmesh.identity.v1.identity_service_pb2_grpc import AuthServiceStub

    printer, session = printer_of(context, output, lists=True), session_of(context)
    answer = session.pages(session.stub(AuthServiceStub).ListApiKeys, pb.ListApiKeysRequest(user_id=user), "api_keys", limit)
    columns = [
        Column("key", lambda key: key.api_key_id),
        Column("name", lambda key: key.name, grows=True),
        Column("scopes", _scopes),
        Column("last used", lambda key: moment(key, "last_used_at"), wide=True),
        Column("ends", lambda key: f"revoked {moment(key, 'revoked_at')}" if key.HasField("revoked_at") else moment(key, "expires_at")),
    ]
    printer.items(answer, answer.api_keys, columns, "No keys: create one with `agentmesh keys create NAME`.")


@app.command()
def revoke(
    context: typer.Context,
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="The id of a key; not its secret.")],
    output: Output = Format.TABLE,
) -> None:
    """Make a key invalid at once."""
    from agentmesh.identity.v1 import identity_service_pb2 as pb
    from agentmesh.identity.v1.identity_service_pb2_grpc import AuthServiceStub

    printer, session = printer_of(context, output), session_of(context)
    answer = session.ask(session.stub(AuthServiceStub).RevokeApiKey, pb.RevokeApiKeyRequest(api_key_id=key_id))
    printer.fields(answer, [("key", answer.api_key.api_key_id), ("revoked", moment(answer.api_key, "revoked_at"))])


def _scopes(key: Any) -> str:
    from agentmesh.common.v1 import access_pb2

    return ", ".join(state_of(access_pb2.AccessScope.DESCRIPTOR, scope) for scope in key.scopes)
