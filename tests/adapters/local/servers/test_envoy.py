"""The embedded Envoy: it serves its configuration, and reports what is wrong with it."""

from pathlib import Path

import pytest

from deploy.local.errors import LaunchError
from deploy.local.servers.envoy import EnvoyServer
from deploy.local.supervision.probe import http_status
from tests.support.ports import any_free_port

BOOTSTRAP = """
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {admin}}}}}}}
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {door}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: test
          route_config:
            virtual_hosts: [{{name: all, domains: ["*"], routes: [{{match: {{prefix: /}}, direct_response: {{status: {status}}}}}]}}]
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
"""


async def test_envoy_serves_its_bootstrap_and_renders_it_again_at_each_start(tmp_path: Path) -> None:
    door, admin = any_free_port(), any_free_port()
    answers = iter([201, 202])
    server = EnvoyServer(tmp_path / "with a space", admin, lambda: BOOTSTRAP.format(door=door, admin=admin, status=next(answers)))
    await server.start()
    assert await http_status(door, "/") == 201
    await server.stop()
    assert await http_status(door, "/") is None
    await server.start()
    assert await http_status(door, "/") == 202
    await server.stop()


async def test_envoy_restarts_after_a_kill(tmp_path: Path) -> None:
    door, admin = any_free_port(), any_free_port()
    server = EnvoyServer(tmp_path, admin, lambda: BOOTSTRAP.format(door=door, admin=admin, status=200))
    await server.start()
    server.process.kill()
    await server.process.crashes.get()
    await server.start()
    assert await http_status(door, "/") == 200
    await server.stop()


async def test_an_invalid_bootstrap_is_an_error_with_envoys_message(tmp_path: Path) -> None:
    server = EnvoyServer(tmp_path, any_free_port(), lambda: "doors: open")
    with pytest.raises(LaunchError, match=r"envoy ended with exit code 1 while it was starting[\s\S]*doors"):
        await server.start()
