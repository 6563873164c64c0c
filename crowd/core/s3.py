"""One bucket of an S3 server: put, fetch, list, sign. boto3 is imported only where an address names S3.

Credentials and the server come from where boto3 looks for them: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
AWS_DEFAULT_REGION, AWS_ENDPOINT_URL_S3, or the machine's role.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

S3_SCHEME = "s3://"
ADVICE = "S3 needs the extra `s3`: pip install 'crowd[s3]'"
GONE = ("404", "NoSuchKey", "NotFound")
PAGE = 1000


@dataclass(frozen=True, slots=True)
class S3Address:
    """`s3://bucket/prefix`, the prefix without a slash at its end."""

    bucket: str
    prefix: str


def parse_s3(address: str) -> S3Address:
    """The parts of an address. Raises ValueError for what is none."""
    bucket, _, prefix = address.removeprefix(S3_SCHEME).partition("/")
    if not address.startswith(S3_SCHEME) or not 3 <= len(bucket) <= 63 or not bucket.isascii():
        raise ValueError(f"{address}: an address is written s3://bucket/prefix")
    return S3Address(bucket, prefix.strip("/"))


class Bucket:
    """A bucket. Failures of the network and of permissions come as OSError with what S3 said."""

    def __init__(self, client: Any, name: str, failures: tuple[type[Exception], ...]) -> None:
        self._client = client
        self._failures = failures
        self.name = name

    @property
    def origin(self) -> str:
        """Scheme and host of the addresses that `presigned` gives."""
        parts = urlsplit(self.presigned("x", 60, {}))
        return f"{parts.scheme}://{parts.netloc}"

    def put(self, key: str, data: bytes) -> None:
        """Write an object."""
        with self._told():
            self._client.put_object(Bucket=self.name, Key=key, Body=data)

    def send(self, key: str, path: Path) -> None:
        """Write an object from a file, in parts if it is large."""
        with self._told():
            self._client.upload_file(str(path), self.name, key)

    def fetch(self, key: str, path: Path) -> None:
        """Read an object into a file. Raises FileNotFoundError."""
        with self._told(key):
            self._client.download_file(self.name, key, str(path))

    def read(self, key: str, most: int) -> bytes:
        """The first `most` bytes of an object. Raises FileNotFoundError."""
        with self._told(key):
            body = self._client.get_object(Bucket=self.name, Key=key)["Body"]
            try:
                data: bytes = body.read(most)
            finally:
                body.close()
            return data

    def size(self, key: str) -> int | None:
        """How many bytes an object has; None if there is none."""
        try:
            with self._told(key):
                return int(self._client.head_object(Bucket=self.name, Key=key)["ContentLength"])
        except FileNotFoundError:
            return None

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        with self._told():
            self._client.delete_object(Bucket=self.name, Key=key)

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Key and bytes of every object below `prefix`, in the order of the keys' bytes, page by page."""
        for entry in self._entries(prefix):
            yield entry["Key"], entry["Size"]

    def changes(self, prefix: str) -> Iterator[tuple[str, int, int]]:
        """As `list`, with the time (ns since 1970) at which each object was written."""
        for entry in self._entries(prefix):
            yield entry["Key"], entry["Size"], int(entry["LastModified"].timestamp()) * 10**9

    def _entries(self, prefix: str) -> Iterator[Mapping[str, Any]]:
        more: dict[str, str] = {}
        while True:
            with self._told():
                answer = self._client.list_objects_v2(Bucket=self.name, Prefix=prefix, MaxKeys=PAGE, **more)
            yield from answer.get("Contents", ())
            if not answer.get("IsTruncated"):
                return
            more = {"ContinuationToken": answer["NextContinuationToken"]}

    def presigned(self, key: str, seconds: int, answer: Mapping[str, str]) -> str:
        """An address at which the object can be fetched for so long, answered with those headers."""
        wanted = {"Bucket": self.name, "Key": key, **answer}
        address: str = self._client.generate_presigned_url("get_object", Params=wanted, ExpiresIn=seconds)
        return address

    def _told(self, key: str | None = None) -> "_Told":
        return _Told(self._failures, key)


class _Told:
    """What S3 refuses, as an OSError."""

    def __init__(self, failures: tuple[type[Exception], ...], key: str | None) -> None:
        self._failures = failures
        self._key = key

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if kind is None or not issubclass(kind, self._failures):
            return
        response = getattr(error, "response", None) or {}
        if self._key is not None and str(response.get("Error", {}).get("Code")) in GONE:
            raise FileNotFoundError(self._key) from None
        raise OSError(f"S3: {error}") from error


def connect_s3(bucket: str) -> Bucket:
    """The bucket of that name; nothing is asked of the server yet. Raises ValueError without boto3."""
    if find_spec("boto3") is None:
        raise ValueError(ADVICE)
    boto3, config = import_module("boto3"), import_module("botocore.config")
    failures = import_module("botocore.exceptions")
    options = config.Config(
        signature_version="s3v4",
        connect_timeout=5,
        read_timeout=30,
        retries={"max_attempts": 4, "mode": "standard"},
        s3={"addressing_style": "auto"},
    )
    try:
        client = boto3.session.Session().client("s3", config=options)
    except failures.BotoCoreError as error:
        raise ValueError(str(error)) from None
    uploads = import_module("boto3.exceptions").S3UploadFailedError
    return Bucket(client, bucket, (failures.ClientError, failures.BotoCoreError, uploads))
