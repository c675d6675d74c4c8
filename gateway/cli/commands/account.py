"""`login`, `logout`, `register`, `whoami` and `profiles`."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.application import Group, Output, Settings, examples, printer_of, session_of, settings_of
from gateway.cli.errors import CliError
from gateway.cli.exits import Exit
from gateway.cli.profiles import Profile
from gateway.cli.rendering import Column, Format, hint
from gateway.cli.session import Session
from gateway.cli.words import state_of

app = typer.Typer(cls=Group)
profiles_app = typer.Typer(name="profiles", help="The servers you have logged in to.", cls=Group, no_args_is_help=True)
Password = Annotated[
    str, typer.Option(envvar="AGENTMESH_PASSWORD", help="Better in the variable than on the command line.", show_envvar=True)
]


@app.command(
    epilog=examples(
        "agentmesh login --username ada",
        "agentmesh login --key-file .agentmesh/token        # the local stack's administrator",
        "agentmesh --profile work --server https://agents.example.com login",
    )
)
def login(
    context: typer.Context,
    username: Annotated[str, typer.Option("--username", "-u", help="Asked for if missing.")] = "",
    password: Password = "",
    key_file: Annotated[str, typer.Option("--key-file", help="Log in with the API key in this file; - is standard input.")] = "",
) -> None:
    """Log in, and store the session in the profile."""
    settings = settings_of(context)
    before = settings.profile()
    profile = Profile(settings.profile_name, settings.server or before.server, settings.ca_file or before.ca_file)
    session = Session(settings.profiles, profile, profile.server, ca_file=profile.ca_file, trace=hint if settings.verbose else None)
    profile = _with_key(session, key_file) if key_file else _with_password(session, username, password)
    with settings.profiles.locked(profile.name):
        settings.profiles.save(profile)
    if not settings.profiles.names()[1:]:  # the first one
        settings.profiles.use(profile.name)
    hint(f"Logged in to {profile.server} as {profile.username} (profile '{profile.name}').")
    if settings.api_key:
        hint("AGENTMESH_API_KEY is set: commands use that key instead of this session until you unset it.")


@app.command()
def logout(context: typer.Context) -> None:
    """End the session on the server, and forget its credential."""
    from agentmesh.identity.v1 import identity_service_pb2 as pb
    from agentmesh.identity.v1.identity_service_pb2_grpc import AuthServiceStub

    settings = settings_of(context)
    session = replace(settings.session(), api_key="")
    profile = session.profile
    if not profile.logged_in:
        hint(f"Not logged in (profile '{profile.name}').")
        return
    if profile.access_token:
        try:
            session.ask(session.stub(AuthServiceStub).Logout, pb.LogoutRequest())
        except CliError as error:
            if error.code is not Exit.NOT_LOGGED_IN:  # it has ended already
                raise
    with settings.profiles.locked(profile.name):
        settings.profiles.save(profile.without_credentials())
    hint(f"Logged out of {profile.server}.")
    if profile.api_key:
        hint("The API key is still valid: revoke it with `agentmesh keys revoke ID` if it is no longer needed.")


@app.command(epilog=examples("agentmesh register ada"))
def register(
    context: typer.Context,
    username: Annotated[str, typer.Argument(metavar="NAME", help="The name of the new user.")],
    password: Password = "",
    output: Output = Format.TABLE,
) -> None:
    """Create an account for yourself, where the platform allows it."""
    from agentmesh.identity.v1 import identity_service_pb2 as pb
    from agentmesh.identity.v1.identity_service_pb2_grpc import AuthServiceStub

    printer, session = printer_of(context, output), session_of(context)
    password = password or ask_password(confirm=True)
    request = pb.RegisterRequest(username=username, password=password)
    answer = session.ask(session.stub(AuthServiceStub).Register, request, open_to_all=True)
    printer.fields(answer, [("user", answer.user.username), ("id", answer.user.user_id)])
    hint(f"Log in with `agentmesh login --username {answer.user.username}`.")


@app.command()
def whoami(context: typer.Context, output: Output = Format.TABLE) -> None:
    """Show the user, role and scopes of the current credential."""
    from agentmesh.common.v1 import access_pb2
    from agentmesh.identity.v1 import identity_pb2
    from agentmesh.identity.v1 import identity_service_pb2 as pb
    from agentmesh.identity.v1.identity_service_pb2_grpc import AuthServiceStub

    printer, session = printer_of(context, output), session_of(context)
    answer = session.ask(session.stub(AuthServiceStub).GetCurrentUser, pb.GetCurrentUserRequest())
    source = "AGENTMESH_API_KEY" if session.api_key else f"profile '{session.profile.name}'"
    pairs = [
        ("user", answer.user.username),
        ("id", answer.user.user_id),
        ("role", state_of(identity_pb2.UserRole.DESCRIPTOR, answer.user.role)),
        ("scopes", ", ".join(state_of(access_pb2.AccessScope.DESCRIPTOR, scope) for scope in answer.scopes)),
        ("server", session.server),
        ("credential", source),
    ]
    printer.fields(answer, pairs)


@profiles_app.command("list")
def list_profiles(context: typer.Context, output: Output = Format.TABLE) -> None:
    """List the profiles; the one in use is marked."""
    settings = settings_of(context)
    printer = printer_of(context, output, lists=True)
    rows = [settings.profiles.load(name) for name in settings.profiles.names()]
    if printer.format in (Format.JSON, Format.YAML):
        current = settings.profile_name
        known = [
            {"name": row.name, "server": row.server, "username": row.username, "logged_in": row.logged_in, "current": row.name == current}
            for row in rows
        ]
        printer.document({"profiles": known})
        return
    from google.protobuf.empty_pb2 import Empty

    printer.items(Empty(), rows, _columns(settings), "No profiles yet: run `agentmesh login`.")


@profiles_app.command("use")
def use_profile(context: typer.Context, name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Make a profile the one that commands use."""
    profiles = settings_of(context).profiles
    if name not in profiles.names():
        raise CliError(f"there is no profile '{name}'", f"create it with `agentmesh --profile {name} --server URL login`", Exit.NOT_FOUND)
    profiles.use(name)
    hint(f"Commands now use the profile '{name}' ({profiles.load(name).server}).")


@profiles_app.command("remove")
def remove_profile(context: typer.Context, name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Delete a profile with its credential. Log out first to end the session on the server."""
    settings_of(context).profiles.remove(name)


def _columns(settings: Settings) -> list[Column]:
    return [
        Column("", lambda profile: "*" if profile.name == settings.profile_name else ""),
        Column("profile", lambda profile: profile.name),
        Column("server", lambda profile: profile.server, grows=True),
        Column("user", lambda profile: profile.username),
        Column("state", lambda profile: ("API key" if profile.api_key else "logged in") if profile.logged_in else "logged out"),
    ]


def _with_password(session: Session, username: str, password: str) -> Profile:
    from agentmesh.identity.v1 import identity_service_pb2 as pb
    from agentmesh.identity.v1.identity_service_pb2_grpc import AuthServiceStub

    username = username or ask_text("User name")
    request = pb.LoginRequest(username=username, password=password or ask_password())
    answer = session.ask(session.stub(AuthServiceStub).Login, request, open_to_all=True)
    return replace(session.profile.with_tokens(answer.access_token, answer.refresh_token, answer.expires_in), username=username)


def _with_key(session: Session, key_file: str) -> Profile:
    from agentmesh.identity.v1 import identity_service_pb2 as pb
    from agentmesh.identity.v1.identity_service_pb2_grpc import AuthServiceStub

    key = read_text(key_file).strip()
    if not key:
        raise CliError(f"{key_file} is empty", "put an API key into it, such as one from `agentmesh keys create`", Exit.USAGE)
    answer = replace(session, api_key=key).ask(session.stub(AuthServiceStub).GetCurrentUser, pb.GetCurrentUserRequest())
    return replace(session.profile, api_key=key, username=answer.user.username)


def read_text(name: str) -> str:
    """The content of a file; `-` is standard input. Raises CliError."""
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(
            f"cannot read {name}: {getattr(error, 'strerror', None) or error}", "name a readable text file", Exit.USAGE
        ) from None


def ask_text(prompt: str) -> str:
    """Asks for a value at the terminal. Raises CliError if there is none."""
    if not sys.stdin.isatty():
        raise CliError(f"{prompt.lower()} is missing", "name it as an option; see --help", Exit.USAGE)
    return str(typer.prompt(prompt, err=True))


def ask_password(*, confirm: bool = False) -> str:
    """Asks for a password, without showing it. Raises CliError if there is no terminal."""
    if not sys.stdin.isatty():
        raise CliError("the password is missing", "set AGENTMESH_PASSWORD, or run the command in a terminal", Exit.USAGE)
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=confirm, err=True))
