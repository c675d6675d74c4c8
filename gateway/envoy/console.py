"""The web console in the gateway: the layout of its folder, and the headers that a browser gets with it.

The folder of a published console (GatewaySettings.console_path) has:

- `index.html`, the document, with NONCE_PLACEHOLDER wherever a nonce belongs
- `identity/assets/`, the scripts, styles and fonts, each under a name that contains a hash of its content
- `br/assets/` and `gzip/assets/`, the same files compressed, under the same names
"""

NONCE_PLACEHOLDER = "00000000-0000-0000-0000-000000000000"
"""The gateway replaces it with a new nonce in every document. It has the length of the nonce, so that the length of the document stays."""

CONTENT_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "map": "application/json",
    "png": "image/png",
    "svg": "image/svg+xml",
    "ttf": "font/ttf",
    "wasm": "application/wasm",
    "webp": "image/webp",
    "woff": "font/woff",
    "woff2": "font/woff2",
}

POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        # Mantine and react-remove-scroll make <style> elements at run time.
        "style-src 'self' 'nonce-%REQ(X-MESH-NONCE)%'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "worker-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
)
"""The Content-Security-Policy of the document, as a format string of Envoy."""

HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
"""The other security headers of the document and its assets."""
