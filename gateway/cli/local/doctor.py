"""`agentmesh doctor`: examines this machine, the definitions and the server, and reports each problem in one line."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from gateway.cli.application import Group, Output, Settings, examples, printer_of, settings_of
from gateway.cli.exits import Exit
from gateway.cli.local import checks_of_definitions, checks_of_machine, checks_of_server
from gateway.cli.local.finding import Finding, Level
from gateway.cli.local.platform import Offset
from gateway.cli.rendering import Column, Format, hint

app = typer.Typer(cls=Group)
FINDINGS = [
    Column("level", lambda finding: finding.level.value),
    Column("check", lambda finding: finding.check),
    Column("finding", lambda finding: finding.text),
    Column("what to do", lambda finding: finding.advice),
]


@dataclass(frozen=True)
class Examined:
    """What the checks look at."""

    settings: Settings
    port_offset: int


@app.command(epilog=examples("agentmesh doctor", "agentmesh doctor --all", "agentmesh doctor --output json"))
def doctor(
    context: typer.Context,
    port_offset: Offset = 0,
    everything: Annotated[bool, typer.Option("--all", help="Also show what is in order.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Check versions, programs, ports, certificates, clock, files, models, definitions and the server."""
    printer = printer_of(context, output, lists=True)
    found = [*_findings(Examined(settings_of(context), port_offset))]
    problems = [finding for finding in found if finding.level is Level.PROBLEM]
    shown = [finding for finding in found if everything or finding.level is not Level.GOOD]
    if printer.format in (Format.JSON, Format.YAML):
        printer.document({"healthy": not problems, "findings": [finding.document() for finding in shown]})
    elif printer.format is Format.CSV:
        from google.protobuf.empty_pb2 import Empty

        printer.items(Empty(), shown, FINDINGS, "")
    else:
        for finding in shown:
            typer.echo(finding.line())
        warnings = sum(finding.level is Level.WARNING for finding in found)
        hint(f"{len(found)} findings: {len(problems)} problems, {warnings} warnings.")
    if problems:
        raise typer.Exit(Exit.UNHEALTHY)


def _findings(examined: Examined) -> Iterator[Finding]:
    settings, offset = examined.settings, examined.port_offset
    checks: Sequence[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("python", checks_of_machine.python),
        ("packages", checks_of_machine.packages),
        ("programs", checks_of_machine.programs),
        ("limits", checks_of_machine.limits),
        ("clock", checks_of_machine.clock),
        ("ports", lambda: checks_of_machine.ports(offset)),
        ("files", lambda: checks_of_machine.files(offset, settings.profiles)),
        ("certificates", lambda: checks_of_machine.certificates(offset)),
        ("definitions", checks_of_definitions.definitions),
        ("server", lambda: checks_of_server.server(settings)),
    ]
    for name, check in checks:
        try:
            yield from check()
        except Exception as error:  # noqa: BLE001 (one broken check must not hide the findings of the others)
            yield Finding(Level.PROBLEM, name, f"the check itself failed: {error!r}", "report this")
