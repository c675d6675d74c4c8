"""`python -m deploy.simulator`: serves the simulator until SIGTERM or SIGINT, then exits 0."""

import asyncio
import json
import signal
import sys

import structlog
import uvloop
from aiohttp import web
from pydantic import ValidationError

from deploy.simulator.app import build_app, build_runner
from deploy.simulator.settings import SimulatorSettings
from mesh.readiness import announce
from mesh.telemetry import configure_logging


async def serve(settings: SimulatorSettings) -> None:
    """Serves until SIGTERM or SIGINT. Raises OSError if the port is taken or the log cannot be written."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = build_runner(build_app(settings))
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.host_address, settings.simulator_port, backlog=4_096)
        await site.start()
        print(json.dumps({"port": site.port}), flush=True)
        announce(settings.ready_file, {"port": site.port})
        structlog.get_logger().info("simulator_ready", port=site.port, log=str(settings.simulator_log or "memory"))
        await stop.wait()
    finally:
        await runner.cleanup()


def main() -> int:
    """Runs the process. If it cannot start, it prints the reason in one line."""
    try:
        settings = SimulatorSettings()
        configure_logging("simulator", settings.log_format)
        uvloop.run(serve(settings))
    except ValidationError as wrong:
        faults = "; ".join(f"{str(one['loc'][0]).upper()}: {one['msg']}" for one in wrong.errors())
        print(f"simulator: invalid settings: {faults}", file=sys.stderr)
        return 2
    except OSError as cause:
        advice = "set SIMULATOR_PORT to a free port and SIMULATOR_LOG to a file that can be written"
        print(f"simulator: cannot start: {cause}; {advice}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
