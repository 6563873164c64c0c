"""The web application: made from settings, the core's manners, and the rooms of `wiring`."""

import ipaddress
import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cache, partial
from typing import Any, TypeVar

from flask import Flask, Response, current_app, jsonify, request
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import Rule

from crowd.accounts.auth import actor_of, install_auth
from crowd.core.config import Settings, SettingsError, load_settings
from crowd.core.health import database_fault
from crowd.core.http import IMAGE_ORIGIN, install_http, retry_after
from crowd.core.logs import configure_logs
from crowd.core.metrics import exposition, install_metrics
from crowd.policy import Grade
from crowd.runtime import EXTENSION, Runtime, build_runtime
from crowd.wiring import register_pages, register_rooms, wire

F = TypeVar("F", bound=Callable[..., Any])

SESSION_LIFETIME = timedelta(days=7)
FORWARDED = ("X-Forwarded-For", "Forwarded", "X-Real-Ip")


class _Rule(Rule):
    """A route whose way back, from a view to its address, is compiled when first used: hardly any ever is."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        made = cache(partial(super()._compile_builder, append_unknown))

        def build(rule: Rule, /, **values: Any) -> tuple[str, str]:
            return made()(rule, **values)

        return build


class _App(Flask):
    """Flask without looking anew, at each call of each function, whether it is a coroutine: none is."""

    url_rule_class = _Rule

    def ensure_sync(self, func: F) -> F:
        """The function as it is."""
        return func


def create_app(
    settings: Settings | None = None,
    *,
    rt: Runtime | None = None,
    environ: Mapping[str, str] | None = None,
) -> Flask:
    """The application for `settings` (by default those of the environment), or on a runtime that is there.

    `environ` holds what only a web process needs: CROWD_LOG_LEVEL, CROWD_SECURE_COOKIES,
    CROWD_TRUST_PROXY. Raises SettingsError, PolicyError or TaxonomyError.
    """
    env = os.environ if environ is None else environ
    configure_logs(env.get("CROWD_LOG_LEVEL") or "info")
    rt = rt or build_runtime(settings or load_settings(env))
    app = _App("crowd", static_folder=None)
    app.extensions[EXTENSION] = rt
    app.config.update(
        SECRET_KEY=rt.settings.secret_key,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=env.get("CROWD_SECURE_COOKIES") == "1",
        PERMANENT_SESSION_LIFETIME=SESSION_LIFETIME,
    )
    # First and last in line: it times what all the others do.
    install_metrics(app)
    api = install_http(app, rt.settings)
    app.config[IMAGE_ORIGIN] = rt.storage.origin
    install_auth(app, rt)
    wire(rt)
    register_rooms(api)
    register_pages(app)
    _add_probes(app)
    _trust_proxies(app, env.get("CROWD_TRUST_PROXY"))
    return app


def _add_probes(app: Flask) -> None:
    app.add_url_rule("/healthz", view_func=healthz)
    app.add_url_rule("/readyz", view_func=readyz)
    app.add_url_rule("/metrics", view_func=metrics)


def healthz() -> Response:
    """The process is up."""
    return jsonify({"status": "up"})


def readyz() -> Response:
    """Whether requests can be served: the database answers and is migrated. Redis is told, not needed."""
    rt: Runtime = current_app.extensions[EXTENSION]
    fault = database_fault(rt.db)
    response = jsonify(
        {
            "ready": fault is None,
            "database": fault or "up",
            "redis": "up" if rt.queue.is_up() else "away",
        }
    )
    if fault:
        response.status_code = 503
        response.headers.update(retry_after(2))
    return response


def metrics() -> Response:
    """Figures for Prometheus: to this machine itself, and to admins with a token."""
    if not _is_from_here():
        actor_of(Grade.ADMIN)
    return exposition()


def _is_from_here() -> bool:
    # A proxy on this machine calls from loopback too, on behalf of anybody.
    if any(name in request.headers for name in FORWARDED):
        return False
    try:
        return ipaddress.ip_address(request.remote_addr or "").is_loopback
    except ValueError:
        return False


def _trust_proxies(app: Flask, count: str | None) -> None:
    if not count:
        return
    if not count.isascii() or not count.isdigit():
        raise SettingsError(f"CROWD_TRUST_PROXY: the number of proxies is needed, not {count!r}")
    hops = int(count)
    app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
        app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops
    )
