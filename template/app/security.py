"""What protects every route: security headers, CORS, and which proxies are believed."""

from flask import Flask, Request, Response, request
from flask.sessions import SessionInterface
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


class NoSessions(SessionInterface):
    """The service sets no cookie, so no request needs one to be looked for and verified."""

    def open_session(self, app: Flask, request: Request) -> None:
        return None


def init_app(app: Flask) -> None:
    app.session_interface = NoSessions()
    if origins := app.config["CORS_ORIGINS"]:
        CORS(
            app,
            resources={r"/api/.*": {"origins": origins}},
            allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
            expose_headers=["Link", "Location", "Retry-After", "X-Request-ID"],
            max_age=600,
            vary_header=False,  # it would say so only to origins that are let in
        )
        app.after_request(vary_by_origin)


def vary_by_origin(response: Response) -> Response:
    """A cache must not give one origin what was answered to another, or to none."""
    if request.path.startswith("/api/"):
        response.vary.add("Origin")
    return response


def believe_proxies(app: Flask) -> None:
    """Take the client's address and the service's own from the proxies; outermost, for all else."""
    if hops := app.config["PROXY_HOPS"]:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops
        )
