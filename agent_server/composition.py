"""Builds an agent host from its settings and runs it. The only module that knows both the host and the model provider."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

import grpc
import structlog

from agent_server.hosting.audience import Audience
from agent_server.hosting.host import Address, AgentHost, Interceptors
from agent_server.hosting.settings import AgentHostSettings
from agent_server.model.ports import Model
from agent_server.model.traced import TracedModel
from agent_server.providers.anthropic.messages import AnthropicModel
from agent_server.turn.agent import Directory
from catalogue.catalogue import Catalogue
from catalogue.files.cache import DocumentCache
from catalogue.pricing.model_names import ModelNames
from catalogue.pricing.prices import PriceBook
from catalogue.report import log_problems, read_reported
from catalogue.watch import watch
from mesh.process import RunningProcess
from mesh.rpc.interceptors.call_token import CallTokens
from mesh.rpc.interceptors.chain import chain
from mesh.rpc.requests.request_limits import DEFAULT_LIMITS, RequestLimits
from mesh.rpc.serving.server import ConnectionLimits
from mesh.security.call_tokens import CallTokenVerifier
from mesh.security.certificates import TlsFolder
from mesh.security.identities import AGENT_HOST
from mesh.security.tls import ServerTls
from mesh.tracing.process import tracer

log = structlog.get_logger()


async def run(settings: AgentHostSettings, process: RunningProcess) -> None:
    """Serves this host's shard until the process is told to stop, then drains it."""
    async with AsyncExitStack() as stack:
        catalogue = read_reported(settings.definitions_path, DocumentCache.at(settings.definitions_cache))
        key = settings.anthropic_api_key.get_secret_value()
        model: Model = await stack.enter_async_context(AnthropicModel(key, settings.anthropic_base_url))
        if (traces := tracer()) is not None:
            model = TracedModel(model, settings.model_provider, traces)
        directory = Directory(catalogue, settings.port_offset, ModelNames(PriceBook.load(), settings.model_default))
        tls = transport(settings)
        connections = ConnectionLimits(settings.limit_connections)
        address = Address(settings.host_address, settings.port_offset, settings.agent_shard, settings.agent_shards, tls, connections)
        verifier = CallTokenVerifier(settings.call_token_keys)
        of_port = interceptors(verifier, request_limits(settings), mutual_tls=tls is not None)
        host = AgentHost(address, directory, model, settings.model_provider, of_port, process.tasks)
        stack.push_async_callback(host.stop, settings.drain_notice_seconds, settings.drain_grace_seconds)
        await host.serve(catalogue)
        facts = {"agents": host.agent_count, "ports": len(host.ports), "disabled": host.disabled_agents()}
        process.tasks.start_on(stack, "catalogue", follow(host, settings, catalogue, process.stopping))
        await process.ready(**facts)
        log.info("agent_host_ready", **facts)
        await process.stopping.wait()


def transport(settings: AgentHostSettings) -> ServerTls | None:
    """The TLS configuration of the ports, or None for plaintext. Raises CannotStart if the certificates cannot be used."""
    if settings.mesh_tls_dir is None:
        return None
    return ServerTls(TlsFolder(settings.mesh_tls_dir, AGENT_HOST), clients_must_show_certificates=True)


def interceptors(verifier: CallTokenVerifier, limits: RequestLimits = DEFAULT_LIMITS, *, mutual_tls: bool) -> Interceptors:
    """The interceptors of every port, outermost first. Only the audience differs between ports."""

    def of_port(audience: Audience) -> Sequence[grpc.aio.ServerInterceptor]:
        return chain(CallTokens(verifier, audience, mutual_tls=mutual_tls), limits=limits)

    return of_port


def request_limits(settings: AgentHostSettings) -> RequestLimits:
    """Twice the bytes that callers may send: an orchestrator's encoding of the same values can be longer."""
    return RequestLimits(2 * settings.limit_context_bytes, settings.limit_context_nodes)


async def follow(host: AgentHost, settings: AgentHostSettings, catalogue: Catalogue, stop: asyncio.Event) -> None:
    """Serves each new catalogue when the definitions change, until `stop` is set."""
    async for changed in watch(settings.definitions_path, catalogue, stop, DocumentCache.at(settings.definitions_cache)):
        log_problems(changed)
        await host.serve(changed)
        log.info("definitions_reloaded", agents=host.agent_count, ports=len(host.ports), disabled=host.disabled_agents())
