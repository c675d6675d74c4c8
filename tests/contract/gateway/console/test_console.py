"""The gateway serves the web console on its own port, beside the API."""

import gzip
import re
from pathlib import Path

import pytest

from tests.contract.gateway.backend import Backend
from tests.contract.gateway.console.published import COMPRESSED, CONTENT, SCRIPT, STYLE, made_up_console, put_document
from tests.contract.gateway.running import Gateway, lone_gateway, running_gateway
from tests.contract.gateway.wire import error_of, exchange, frame

PAGE = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
ANYTHING = {"accept": "*/*"}


@pytest.mark.parametrize(
    "path", ["/", "/login", "/marketplace?category=marketing", "/runs/run_1/steps/a", "/favicon.ico", "/index.html", "/index"]
)
async def test_every_page_of_its_own_has_the_same_document(gateway: Gateway, path: str) -> None:
    response = await gateway.http.get(path, headers=PAGE)
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "<title>AgentMesh</title>" in response.text
    assert response.headers["cache-control"] == "no-cache"
    assert not {"etag", "last-modified"} & set(response.headers)  # a cached document would have an old nonce
    assert int(response.headers["content-length"]) == len(response.content)


@pytest.mark.parametrize("path", ["/login", "/favicon.ico", "/index.html", "/br/assets/" + SCRIPT])
async def test_another_caller_finds_no_page(gateway: Gateway, path: str) -> None:
    error_of(await gateway.http.get(path, headers=ANYTHING), 404, "ROUTE_NOT_FOUND")


async def test_the_root_path_is_a_page_for_a_browser_and_a_list_for_others(gateway: Gateway) -> None:
    assert "<title>" in (await gateway.http.get("/", headers=PAGE)).text
    for headers in (ANYTHING, {"accept": "application/json"}):
        assert (await gateway.http.get("/", headers=headers)).json()["name"] == "AgentMesh"
    answer = await exchange(gateway.port, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")  # without any `accept`
    assert answer.json()["name"] == "AgentMesh"


@pytest.mark.parametrize("path", ["/health", "/ready", "/openapi.json", "/api/v1/categories"])
async def test_the_api_stays_where_it_is_for_a_browser_too(gateway: Gateway, path: str) -> None:
    response = await gateway.http.get(path, headers=PAGE)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")


@pytest.mark.parametrize(
    "path", ["/api", "/api/", "/api/v1/nope", "/api/v2", "/assets", "/assets/", "/agentmesh.no.Service/Rpc", "/grpc.x/Y"]
)
async def test_a_browser_sees_an_error_and_no_page_below_the_paths_of_the_api(gateway: Gateway, path: str) -> None:
    error_of(await gateway.http.get(path, headers=PAGE), 404, "ROUTE_NOT_FOUND")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_other_methods_find_no_page(gateway: Gateway, backend: Backend, method: str) -> None:
    error_of(await gateway.http.request(method, "/login", headers=PAGE), 404, "ROUTE_NOT_FOUND")
    assert backend.script.requests == []


async def test_an_unknown_rpc_stays_unimplemented(gateway: Gateway) -> None:
    headers = {"content-type": "application/grpc-web+proto", "accept": "text/html"}
    response = await gateway.http.post("/dashboard", content=frame(b""), headers=headers)
    assert (response.status_code, response.headers["grpc-status"]) == (200, "12")


async def test_a_document_has_a_strict_policy_with_a_new_nonce_each_time(gateway: Gateway) -> None:
    nonces = set()
    for _ in range(3):
        response = await gateway.http.get("/", headers={**PAGE, "x-mesh-nonce": "mine", "x-request-id": "req_mine"})
        policy = dict(part.split(" ", 1) for part in response.headers["content-security-policy"].split("; "))
        nonce = re.fullmatch(r"'self' 'nonce-([0-9a-f-]{36})'", policy.pop("style-src"))
        assert nonce
        assert policy == {
            "default-src": "'none'",
            "script-src": "'self'",
            "img-src": "'self' data:",
            "font-src": "'self'",
            "connect-src": "'self'",
            "worker-src": "'self'",
            "manifest-src": "'self'",
            "base-uri": "'none'",
            "form-action": "'self'",
            "frame-ancestors": "'none'",
        }
        assert set(re.findall(r'nonce="([^"]*)"', response.text)) == {nonce[1]}
        nonces.add(nonce[1])
    assert len(nonces) == 3


@pytest.mark.parametrize("path", ["/", f"/assets/{SCRIPT}"])
async def test_pages_and_assets_have_the_security_headers(gateway: Gateway, path: str) -> None:
    headers = (await gateway.http.get(path, headers=PAGE)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
    assert "camera=()" in headers["permissions-policy"]
    assert not [name for name in headers if name.startswith(("x-mesh-", "x-envoy-", "grpc-"))]
    assert "server" not in headers


async def test_an_asset_may_be_cached_for_ever(gateway: Gateway) -> None:
    for name, kind in {SCRIPT: "text/javascript; charset=utf-8", STYLE: "text/css; charset=utf-8"}.items():
        response = await gateway.http.get(f"/assets/{name}", headers={"accept-encoding": "identity"})
        assert (response.status_code, response.content, response.headers["content-type"]) == (200, CONTENT[name], kind)
        assert response.headers["cache-control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("br", "br"),
        ("gzip;q=0.8,br;q=0.5", "br"),
        ("gzip, br;q=0", "gzip"),
        ("gzip, br;q=0.0, deflate", "gzip"),
        ("gzip;q=0.001", "gzip"),
        ("brotli, x-gzip", None),
        ("identity", None),
        ("gzip;q=0", None),
        (None, None),
    ],
)
async def test_an_asset_was_compressed_when_it_was_built(gateway: Gateway, accepted: str | None, encoding: str | None) -> None:
    asked = f"accept-encoding: {accepted}\r\n" if accepted else ""
    response = await exchange(gateway.port, f"GET /assets/{SCRIPT} HTTP/1.1\r\nhost: x\r\n{asked}\r\n".encode())
    assert response.status_code == 200
    assert response.headers.get("content-encoding") == encoding
    assert "accept-encoding" in response.headers["vary"]
    if encoding == "br":
        assert int(response.headers["content-length"]) == len(COMPRESSED["br"](CONTENT[SCRIPT]))
    elif encoding == "gzip":
        assert int(response.headers["content-length"]) == len(gzip.compress(CONTENT[SCRIPT]))


@pytest.mark.parametrize("path", ["/", "/dashboard", f"/assets/{SCRIPT}"])
async def test_head_has_the_headers_of_get_and_no_body(gateway: Gateway, path: str) -> None:
    got, head = [await gateway.http.request(method, path, headers=PAGE) for method in ("GET", "HEAD")]
    assert (head.status_code, head.content) == (200, b"")
    varying = {"x-request-id", "content-security-policy", "date"}
    assert {name: value for name, value in head.headers.items() if name not in varying} == {
        name: value for name, value in got.headers.items() if name not in varying
    }


@pytest.mark.parametrize("accepted", ["br", "gzip", "identity"])
async def test_an_asset_that_does_not_exist_is_an_error_that_is_not_cached(gateway: Gateway, accepted: str) -> None:
    """An old page that asks for an asset of an old build must not get a document in its place."""
    response = await gateway.http.get("/assets/index-0ldBui1d.js", headers={**PAGE, "accept-encoding": accepted})
    error_of(response, 404, "ROUTE_NOT_FOUND")
    assert "content-encoding" not in response.headers


async def test_an_asset_can_only_be_read(gateway: Gateway) -> None:
    response = await gateway.http.post(f"/assets/{SCRIPT}", content=b"x")
    error_of(response, 405, "METHOD_NOT_ALLOWED")
    assert response.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../index.html",
        "/assets/%2e%2e/index.html",
        "/assets/..%2findex.html",
        "/assets/%2e%2e%2findex.html",
        "/assets/..\\index.html",
        "/assets/....//index.html",
        "/assets//../../secret.txt",
        "/assets/../../secret.txt",
        "/assets/%252e%252e/secret.txt",
        "/assets/.hidden.js",
        "/assets/index.js%00.css",
        "/../secret.txt",
        "/..%2f..%2fetc/passwd",
        "//etc/passwd",
    ],
)
@pytest.mark.parametrize("accept", ["text/html", "*/*"])
async def test_no_path_leads_out_of_the_assets(gateway: Gateway, path: str, accept: str) -> None:
    response = await exchange(gateway.port, f"GET {path} HTTP/1.1\r\nhost: x\r\naccept: {accept}\r\n\r\n".encode())
    if response.status_code == 200:  # a path of the console, with its document as ever
        assert accept == "text/html"
        assert "<title>AgentMesh</title>" in response.text
    else:
        assert response.status_code in (400, 404)
        assert response.json()["error"]["code"] in ("BAD_REQUEST", "ROUTE_NOT_FOUND")


async def test_a_new_build_is_served_without_a_restart(tmp_path: Path) -> None:
    console = made_up_console(tmp_path / "console")
    async with lone_gateway(tmp_path, 1, console_path=console) as gateway:
        assert "<title>AgentMesh</title>" in (await gateway.http.get("/", headers=PAGE)).text
        put_document(console, "The next build")
        (console / "identity" / "assets" / "index-NewNewNe.js").write_text("1")
        assert "<title>The next build</title>" in (await gateway.http.get("/", headers=PAGE)).text
        asset = await gateway.http.get("/assets/index-NewNewNe.js", headers={"accept-encoding": "identity"})
        assert (asset.status_code, asset.text) == (200, "1")


async def test_the_console_is_served_while_the_platform_is_away(tmp_path: Path) -> None:
    async with lone_gateway(tmp_path, 1, console_path=made_up_console(tmp_path / "console")) as gateway:
        assert (await gateway.http.get("/dashboard", headers=PAGE)).status_code == 200
        assert (await gateway.http.get(f"/assets/{STYLE}")).status_code == 200


async def test_a_gateway_without_a_console_has_no_pages(tmp_path: Path, backend: Backend) -> None:
    async with running_gateway(tmp_path, backend.port) as gateway:
        assert (await gateway.http.get("/", headers=PAGE)).json()["name"] == "AgentMesh"
        error_of(await gateway.http.get("/dashboard", headers=PAGE), 404, "ROUTE_NOT_FOUND")
        error_of(await gateway.http.get(f"/assets/{SCRIPT}", headers=PAGE), 404, "ROUTE_NOT_FOUND")
