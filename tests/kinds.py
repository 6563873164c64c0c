"""The types of what tests/conftest.py hands out."""

from typing import TYPE_CHECKING, Any, Protocol, cast

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from crowd.policy import Grade

Headers = dict[str, str]


class MakeWorker(Protocol):
    """Adds a person; gives id and API token. Without a password there is no login, which saves time."""

    def __call__(
        self, grade: Grade, *, name: str | None = None, password: str | None = None
    ) -> tuple[int, str]: ...


class Bearer(Protocol):
    """The headers of a request with that token."""

    def __call__(self, token: str) -> Headers: ...


class Answer(TestResponse):
    """An answer whose JSON may be looked into without asking whether it is there."""

    if TYPE_CHECKING:
        json: Any


class Client(FlaskClient):
    """The application's test client, answering with `Answer`."""

    if TYPE_CHECKING:

        def open(self, *args: Any, **kwargs: Any) -> Answer: ...
        def get(self, *args: Any, **kwargs: Any) -> Answer: ...
        def post(self, *args: Any, **kwargs: Any) -> Answer: ...
        def put(self, *args: Any, **kwargs: Any) -> Answer: ...
        def delete(self, *args: Any, **kwargs: Any) -> Answer: ...


def client_of(app: Flask) -> Client:
    """Somebody new, not logged in."""
    return cast(Client, app.test_client())
