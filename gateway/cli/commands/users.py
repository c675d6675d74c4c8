"""`agentmesh users`: accounts, for administrators."""

import secrets
from typing import Annotated, Any

import typer

from gateway.cli.application import Limit, Output, examples, group, printer_of, session_of
from gateway.cli.errors import CliError
from gateway.cli.exits import Exit
from gateway.cli.rendering import Column, Format, hint
from gateway.cli.words import moment, state

app = group("users", "Manage accounts (administrators only).")
UserId = Annotated[int, typer.Argument(metavar="USER", min=1, help="The id of a user; see `users list`.")]
USERS = [
    Column("id", lambda user: user.user_id, right=True),
    Column("user", lambda user: user.username, grows=True),
    Column("role", lambda user: state(user, "role")),
    Column("state", lambda user: "disabled" if user.disabled else "active"),
    Column("created", lambda user: moment(user, "created_at"), wide=True),
]


def _stub(session: Any) -> Any:
    from agentmesh.identity.v1.identity_service_pb2_grpc import AuthServiceStub

    return session.stub(AuthServiceStub)


@app.command("list", epilog=examples("agentmesh users list --name ada"))
def list_users(
    context: typer.Context,
    name: Annotated[str, typer.Option("--name", help="Only users with this name.")] = "",
    limit: Limit = 50,
    output: Output = Format.TABLE,
) -> None:
    """List the users."""
    from agentmesh.identity.v1 import identity_service_pb2 as pb

    printer, session = printer_of(context, output, lists=True), session_of(context)
    answer = session.pages(_stub(session).ListUsers, pb.ListUsersRequest(username=name), "users", limit)
    printer.items(answer, answer.users, USERS, "No users.")


@app.command(epilog=examples("agentmesh users create ada", "AGENTMESH_NEW_PASSWORD=... agentmesh users create ada --role admin"))
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    password: Annotated[str, typer.Option(envvar="AGENTMESH_NEW_PASSWORD", help="Generated and printed if missing.")] = "",
    role: Annotated[str, typer.Option("--role", help="user or admin.")] = "user",
    output: Output = Format.TABLE,
) -> None:
    """Create an account."""
    from agentmesh.identity.v1 import identity_service_pb2 as pb

    printer, session = printer_of(context, output), session_of(context)
    chosen = password or secrets.token_urlsafe(15)
    answer = session.ask(_stub(session).CreateUser, pb.CreateUserRequest(username=name, password=chosen, role=_role(role)))
    if printer.documents:
        from gateway.cli.rendering import plain_of

        printer.document(plain_of(answer) | ({} if password else {"password": chosen}))
        return
    generated = [] if password else [("password", chosen)]
    printer.fields(answer, [("id", answer.user.user_id), ("user", answer.user.username), ("role", role), *generated])
    if generated:
        hint("The password is shown this once.")


@app.command("set-role", epilog=examples("agentmesh users set-role 7 admin"))
def set_role(context: typer.Context, user_id: UserId, role: Annotated[str, typer.Argument(metavar="ROLE", help="user or admin.")]) -> None:
    """Change the role of a user."""
    _update(context, user_id, role=_role(role))


@app.command()
def disable(context: typer.Context, user_id: UserId) -> None:
    """Lock a user out: sessions and keys stop working at once."""
    _update(context, user_id, disabled=True)


@app.command()
def enable(context: typer.Context, user_id: UserId) -> None:
    """Let a disabled user in again."""
    _update(context, user_id, disabled=False)


@app.command()
def audit(
    context: typer.Context,
    actor: Annotated[int, typer.Option("--actor", min=0, help="Only what this user did.")] = 0,
    action: Annotated[str, typer.Option("--action", help="Only this action.")] = "",
    limit: Limit = 50,
    output: Output = Format.TABLE,
) -> None:
    """List who did what to accounts and keys, the newest first."""
    from agentmesh.identity.v1 import identity_service_pb2 as pb

    printer, session = printer_of(context, output, lists=True), session_of(context)
    request = pb.ListAuditEntriesRequest(actor_id=actor, action=action)
    answer = session.pages(_stub(session).ListAuditEntries, request, "entries", limit)
    columns = [
        Column("time", lambda entry: moment(entry, "occurred_at")),
        Column("action", lambda entry: entry.action),
        Column("actor", lambda entry: entry.actor_id or "", right=True),
        Column("subject", lambda entry: entry.subject, grows=True),
        Column("address", lambda entry: entry.address, wide=True),
    ]
    printer.items(answer, answer.entries, columns, "No entries.")


def _update(context: typer.Context, user_id: int, **fields: Any) -> None:
    from agentmesh.identity.v1 import identity_service_pb2 as pb

    session = session_of(context)
    user = session.ask(_stub(session).UpdateUser, pb.UpdateUserRequest(user_id=user_id, **fields)).user
    hint(f"{user.username} is {'disabled' if user.disabled else 'active'}, with the role {state(user, 'role')}.")


def _role(word: str) -> Any:
    from agentmesh.identity.v1 import identity_pb2

    if word not in ("user", "admin"):
        raise CliError(f"invalid role '{word}'", "use user or admin", Exit.USAGE)
    return identity_pb2.UserRole.Value(f"USER_ROLE_{word.upper()}")
