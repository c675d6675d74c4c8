"""`agentmesh`: the console script."""

from gateway.cli.application import application
from gateway.cli.commands import account, agents, analytics, approvals, events, executions, keys, runs, users, workflows
from gateway.cli.local import doctor, platform

app = application(
    [
        *(account.app, account.profiles_app, agents.app, workflows.app, runs.app, approvals.app, executions.app),
        *(events.app, analytics.usage_app, analytics.app, keys.app, users.app),
        *(platform.app, doctor.app),
    ]
)


def main() -> None:
    """Runs one command and exits with its code."""
    app(prog_name="agentmesh")


if __name__ == "__main__":
    main()
