"""An S3 bucket as storage. boto3 is imported at its first use, and finds credentials by itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import IO, Any

from flask import Flask
from werkzeug.http import parse_options_header

from app.s3.schemas import PresignedPost
from app.storage import FileInfo, attachment


@contextmanager
def storage_errors() -> Iterator[None]:
    """Raise any error as ``OSError``: those of boto3 have no base class in common."""
    try:
        yield
    except Exception as error:
        raise OSError("S3 request failed") from error


class BucketStorage:
    """Stores files as ``<S3_PREFIX>/<name>/<key>`` in the bucket ``S3_BUCKET_NAME``.

    It has the methods of ``app.storage.LocalStorage``.
    """

    def __init__(self, app: Flask, name: str) -> None:
        self.config = app.config
        self.bucket = app.config["S3_BUCKET_NAME"]
        self.prefix = app.config["S3_PREFIX"] + f"/{name}/"

    @cached_property
    def client(self) -> Any:
        config = self.config
        return self.make_client(config["AWS_ENDPOINT_URL_S3"] or config["AWS_ENDPOINT_URL"])

    @cached_property
    def public_client(self) -> Any:
        """Signs URLs for clients, which may reach S3 at another address than this service does."""
        url = self.config["S3_PUBLIC_URL"]
        return self.make_client(url) if url else self.client

    def make_client(self, endpoint_url: str | None) -> Any:
        from boto3 import Session
        from botocore.config import Config

        attempts = self.config["S3_MAX_ATTEMPTS"]
        config = Config(
            signature_version="s3v4",
            connect_timeout=self.config["S3_CONNECT_TIMEOUT"],
            read_timeout=self.config["S3_READ_TIMEOUT"],
            retries={"mode": "standard", "total_max_attempts": attempts},
        )
        return Session().client("s3", endpoint_url=endpoint_url, config=config)

    @storage_errors()
    def save(self, info: FileInfo, stream: IO[bytes]) -> None:
        """Upload a stream; a large one in parts, of which one at a time is in memory."""
        from boto3.s3.transfer import TransferConfig

        headers = {
            "ContentType": info.content_type,
            "ContentDisposition": attachment(info.filename),
            "Metadata": info.metadata,
        }
        key, config = self.prefix + info.key, TransferConfig(use_threads=False)
        self.client.upload_fileobj(stream, self.bucket, key, headers, Config=config)

    @storage_errors()
    def info(self, key: str) -> FileInfo | None:
        from botocore.exceptions import ClientError

        try:
            head = self.client.head_object(Bucket=self.bucket, Key=self.prefix + key)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
            self.check()  # raises an error if it is the bucket that doesn't exist
            return None
        _, options = parse_options_header(head.get("ContentDisposition"))
        return FileInfo(
            key=key,
            filename=options.get("filename", ""),
            content_type=head["ContentType"],
            size=head["ContentLength"],
            metadata=head["Metadata"],
            etag=head["ETag"].strip('"'),
            modified=head["LastModified"],
        )

    @storage_errors()
    def open(self, info: FileInfo, start: int, stop: int) -> IO[bytes]:
        # Without If-Match, the file could be another one by now.
        request = {"Bucket": self.bucket, "Key": self.prefix + info.key, "IfMatch": info.etag}
        if stop - start < info.size:
            request["Range"] = f"bytes={start}-{stop - 1}"
        content: IO[bytes] = self.client.get_object(**request)["Body"]
        return content

    @storage_errors()
    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=self.prefix + key)

    def check(self) -> None:
        """Raise an error if the bucket doesn't answer."""
        self.client.head_bucket(Bucket=self.bucket)

    @storage_errors()
    def presign_get(self, key: str, expires_in: int) -> str:
        """Return a URL that downloads a file, valid for ``expires_in`` seconds."""
        parameters = {"Bucket": self.bucket, "Key": self.prefix + key}
        url: str = self.public_client.generate_presigned_url("get_object", parameters, expires_in)
        return url

    @storage_errors()
    def presign_post(self, info: FileInfo, expires_in: int) -> PresignedPost:
        """Return a form that uploads a file of this type and at most ``info.size`` bytes."""
        fields = {
            "Content-Type": info.content_type,
            "Content-Disposition": attachment(info.filename),
        }
        conditions: list[Any] = [{name: value} for name, value in fields.items()]
        conditions.append(["content-length-range", 0, info.size])
        form = self.public_client.generate_presigned_post(
            self.bucket, self.prefix + info.key, fields, conditions, expires_in
        )
        return PresignedPost(key=info.key, **form)
