"""Security headers, CORS and trusted proxies."""

import re
from functools import lru_cache
from ipaddress import IPv4Address, ip_address, ip_network

from flask import Flask, Response, request
from flask_cors import CORS
from werkzeug.middleware.proxy_fix import ProxyFix

HEADERS = [
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Cross-Origin-Resource-Policy", "same-site"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
]
HSTS = ("Strict-Transport-Security", f"max-age={365 * 24 * 3600}")


def init_app(app: Flask) -> None:
    if origins := app.config["CORS_ORIGINS"]:
        CORS(
            app,
            # As patterns, because an IPv6 address in brackets would be taken for one.
            resources={r"/api/.*": {"origins": [rf"^{re.escape(o)}\Z" for o in origins]}},
            allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
            expose_headers=["Link", "Location", "Retry-After", "X-Request-ID"],
            max_age=600,
            vary_header=False,  # would be set for allowed origins only
        )
        app.after_request(vary_by_origin)


def vary_by_origin(response: Response) -> Response:
    """Keep caches from serving one origin's response to another."""
    if request.path.startswith("/api/"):
        response.vary.add("Origin")
    return response


def trust_proxies(app: Flask) -> None:
    """Take the client's address and the service's own URL from the proxies' headers."""
    hops = app.config["PROXY_HOPS"]
    names = ("for", "proto", "host", "prefix")
    given = {name: app.config[f"PROXY_HOPS_{name.upper()}"] for name in names}
    trusted = {f"x_{name}": hops if n is None else n for name, n in given.items()}
    if any(trusted.values()):
        app.wsgi_app = ProxyFix(app.wsgi_app, **trusted)  # type: ignore[method-assign]


@lru_cache(maxsize=4096)
def client_address(address: str) -> str:
    """Name a client by its address: without a port, and an IPv6 client by its /64 network.

    One client has a whole /64 network, and proxies such as Azure's add the port.
    """
    host = address[1:].partition("]")[0] if address.startswith("[") else address
    if host.count(":") == 1:  # an IPv4 address and a port
        host = host.partition(":")[0]
    try:
        ip = ip_address(host)
    except ValueError:
        return address
    if isinstance(ip, IPv4Address):
        return str(ip)
    return str(ip.ipv4_mapped or ip_network((int(ip), 64), strict=False))
