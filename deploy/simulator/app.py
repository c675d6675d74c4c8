from aiohttp import web

from deploy.simulator.control import Control
from deploy.simulator.errors import ApiError
from deploy.simulator.faults import FaultRules
from deploy.simulator.log import AnswerLog
from deploy.simulator.messages.api import MessagesApi, Pace
from deploy.simulator.settings import SimulatorSettings

MOST_REQUEST_BYTES = 32 * 1024 * 1024
"""The API's own limit on the size of a request."""


def build_app(settings: SimulatorSettings) -> web.Application:
    """The simulator as a web application. Raises OSError if its log cannot be opened."""
    log = AnswerLog(settings.simulator_log)
    pace, rules = Pace(settings.simulator_delay_ms, settings.simulator_trickle_ms), FaultRules()
    api = MessagesApi(pace, rules, log)
    control = Control(api, pace, rules, log)
    app = web.Application(client_max_size=MOST_REQUEST_BYTES)
    app.add_routes(
        [
            web.post("/v1/messages", api.create),
            web.post("/v1/messages/count_tokens", api.count_tokens),
            web.get("/healthz", _healthy),
            web.post("/control/faults", control.add_fault),
            web.delete("/control/faults", control.clear_faults),
            web.post("/control/defaults", control.set_defaults),
            web.get("/control/log", control.read_log),
            web.get("/control/active", control.count_active),
            web.route("*", "/{path:.*}", _not_found),
        ]
    )

    async def stop(_: web.Application) -> None:
        await api.stop()

    async def close(_: web.Application) -> None:
        log.close()

    app.on_shutdown.append(stop)
    app.on_cleanup.append(close)
    return app


def build_runner(app: web.Application) -> web.AppRunner:
    """A server for the application. It cancels a handler as soon as its client disconnects, and stops without waiting for clients."""
    # Longer than any client keeps a connection (the SDK: 300 s). Otherwise the server could close one just as a request arrives.
    return web.AppRunner(app, handler_cancellation=True, keepalive_timeout=3_600, access_log=None, shutdown_timeout=0.1)


async def _healthy(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def _not_found(request: web.Request) -> web.Response:
    body = ApiError.not_found(f"no such endpoint: {request.method} {request.path}").body("req_none")
    return web.Response(status=404, body=body, content_type="application/json")
