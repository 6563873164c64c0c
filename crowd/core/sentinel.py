"""Addresses of a Redis that Sentinels watch over: `redis+sentinel://host:port,host:port/service`. PURE."""

from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

SCHEME = "redis+sentinel"
DEFAULT_PORT = 26379

_NOTATION = f"{SCHEME}://host:port,host:port/service"


@dataclass(frozen=True, slots=True)
class SentinelAddress:
    """Where the Sentinels are, the name of what they watch, and who logs in where (None: nobody has to)."""

    sentinels: tuple[tuple[str, int], ...]
    service: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)


def is_sentinel(url: str) -> bool:
    """Whether the address is of this kind."""
    return url.startswith(f"{SCHEME}://")


def parse_sentinel(url: str) -> SentinelAddress:
    """The parts of an address. Raises ValueError, with a sentence, for one that cannot be understood.

    User and password before the `@` are Redis's own; the Sentinels' stand in the query, as
    `sentinel_username` and `sentinel_password`. An IPv6 address stands in brackets.
    """
    parts = urlsplit(url)
    login, _, places = parts.netloc.rpartition("@")
    username, _, password = login.partition(":")
    service = parts.path.strip("/")
    if parts.scheme != SCHEME or not service or "/" in service:
        raise ValueError(f"{_NOTATION} is the notation, with the service's name and nothing after it")
    query = parse_qs(parts.query)
    if unknown := query.keys() - {"sentinel_username", "sentinel_password"}:
        raise ValueError(f"{min(unknown)!r} is no option of {SCHEME}")
    return SentinelAddress(
        sentinels=tuple(_place(text) for text in places.split(",")),
        service=unquote(service),
        username=unquote(username) or None,
        password=unquote(password) or None,
        sentinel_username=query.get("sentinel_username", [None])[-1],
        sentinel_password=query.get("sentinel_password", [None])[-1],
    )


def _place(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text.strip()}")
    try:
        port = parts.port or DEFAULT_PORT
    except ValueError:
        port = 0
    if not parts.hostname or not port or parts.path or parts.username:
        raise ValueError(f"{text!r} is no host:port of a Sentinel")
    return parts.hostname, port
