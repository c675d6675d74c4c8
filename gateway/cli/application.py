"""What all commands share: the global options, options by the same name, groups, and how errors end a command."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from gateway.cli.errors import CliError
from gateway.cli.exits import Exit
from gateway.cli.profiles import Profile, Profiles
from gateway.cli.rendering import Format, Printer, hint, report
from gateway.cli.session import Session

Output = Annotated[
    Format, typer.Option("--output", "-o", envvar="AGENTMESH_OUTPUT", help="json and yaml have every field; csv is for lists.")
]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="The most items to list.")]
Key = Annotated[str, typer.Option("--idempotency-key", help="Repeating the command with this key returns the first result.")]
ProfileName = Annotated[
    str, typer.Option("--profile", "-p", envvar="AGENTMESH_PROFILE", help="The profile to use.", show_default="the current one")
]
Server = Annotated[
    str, typer.Option("--server", "-s", envvar="AGENTMESH_SERVER", help="The gateway's URL.", show_default="that of the profile")
]
CaFile = Annotated[str, typer.Option("--ca-file", envvar="AGENTMESH_CA_FILE", help="The authority of the server's certificate, as PEM.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="The id of a run.")]


@dataclass
class Settings:
    """The global options of one command."""

    profiles: Profiles
    profile_name: str
    server: str = ""
    ca_file: str = ""
    verbose: bool = False
    format: Format = Format.TABLE
    api_key: str = field(default="", repr=False)

    def profile(self) -> Profile:
        """The stored profile."""
        return self.profiles.load(self.profile_name)

    def session(self) -> Session:
        """A session with the chosen server; its credential is an API key from the environment, or that of the profile."""
        profile = self.profile()
        trace = hint if self.verbose else None
        ca_file = self.ca_file or profile.ca_file
        return Session(self.profiles, profile, self.server or profile.server, self.api_key, ca_file, trace)


def settings_of(context: typer.Context) -> Settings:
    """The global options."""
    settings: Settings = context.find_root().obj
    return settings


def session_of(context: typer.Context) -> Session:
    """A session for this command."""
    return settings_of(context).session()


def printer_of(context: typer.Context, output: Format, *, lists: bool = False) -> Printer:
    """A printer for this command's format. Raises CliError for CSV unless the command `lists` something."""
    if output is Format.CSV and not lists:
        raise CliError("this command has no --output csv", "use table, json or yaml", Exit.USAGE)
    settings_of(context).format = output
    return Printer(output)


class Group(TyperGroup):
    """Turns errors into one line and an exit code. A group that has `list` does that if no command is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        asks_for_help = any(word in ("--help", "-h") for word in args)
        names_none = not args or args[0].startswith("-")
        # The shell's completion parses half a line, in which the name of the command is still missing.
        if "list" in self.commands and names_none and not asks_for_help and not ctx.resilient_parsing:
            args = ["list", *args]
        rest: list[str] = super().parse_args(ctx, args)
        return rest

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except CliError as error:
            settings = ctx.find_root().obj
            raise typer.Exit(report(error, settings.format if settings else Format.TABLE)) from None
        except KeyboardInterrupt:
            raise typer.Exit(Exit.INTERRUPTED) from None


def group(name: str, summary: str) -> typer.Typer:
    """A group of commands, such as `agentmesh agents`."""
    return typer.Typer(name=name, help=summary, cls=Group, no_args_is_help=True)


def examples(*lines: str) -> str:
    """The end of a command's --help."""
    return "\b\n" + "\n".join(["Examples:", *(f"  {line}" for line in lines)])


def global_options(
    context: typer.Context,
    profile: ProfileName = "",
    server: Server = "",
    ca_file: CaFile = "",
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show each gRPC call with its time and request id.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Show the version and stop.")] = False,
) -> None:
    """AgentMesh: find agents, call them, run workflows, see what they cost."""
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"agentmesh {installed('agentmesh')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit
    profiles = Profiles.of(os.environ)
    key = os.environ.get("AGENTMESH_API_KEY", "")
    context.obj = Settings(profiles, profile or profiles.current(), server, ca_file, verbose, api_key=key)


def application(groups: Sequence[typer.Typer]) -> typer.Typer:
    """The whole command line."""
    app = typer.Typer(
        name="agentmesh",
        cls=Group,
        invoke_without_command=True,
        rich_markup_mode=None,  # plain help takes half the time, and its lines can be copied
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog="Start with `agentmesh up` and `agentmesh login`. Completion: `agentmesh --install-completion`.",
    )
    app.callback()(global_options)
    for one in groups:
        app.add_typer(one, name=one.info.name if isinstance(one.info.name, str) else None)
    return app
