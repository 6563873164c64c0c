"""A local S3 server for the time of a test module: moto's, in a thread of this process."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from unittest import mock
from uuid import uuid4

import pytest

from crowd.core.s3 import connect_s3


@dataclass(frozen=True)
class S3Server:
    """Where it listens; while it runs, the environment points at it."""

    address: str

    def make_bucket(self) -> str:
        """A new bucket's name."""
        name = f"b-{uuid4().hex[:12]}"
        connect_s3(name)._client.create_bucket(Bucket=name)
        return name


@contextlib.contextmanager
def start_s3() -> Iterator[S3Server]:
    """The server for the time of the block; without its packages the test is skipped."""
    server_module = pytest.importorskip("moto.server")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    environ = {
        "AWS_ENDPOINT_URL_S3": address,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    try:
        with mock.patch.dict(os.environ, environ):
            yield S3Server(address)
    finally:
        server.stop()
