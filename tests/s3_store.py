"""An object store for tests: a real server that checks keys, and a proxy that fails."""

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from irisspark.storage.location import Location, locate
from irisspark.storage.object_stores import open_store

BUCKET, REGION = "iris-data", "eu-west-1"


class Store(SimpleNamespace):
    """The server: its port, a client of its makers, and the keys of a user who may do anything."""

    def settings(self, **other: str) -> dict[str, str]:
        found = {
            "access.key": self.key,
            "secret.key": self.word,
            "endpoint": f"http://127.0.0.1:{self.port}",
            "endpoint.region": REGION,
            "path.style.access": "true",
        }
        return {f"fs.s3a.{name}": value for name, value in {**found, **other}.items()}

    def guest(self) -> dict[str, str]:
        """Give settings of somebody with a session token, who may do anything for a while."""
        trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
        role = {"Version": "2012-10-17", "Statement": [trust]}
        arn = self.iam.create_role(RoleName="guest", AssumeRolePolicyDocument=json.dumps(role))
        self.iam.put_role_policy(RoleName="guest", PolicyName="all", PolicyDocument=self.policy)
        found = self.sts.assume_role(RoleArn=arn["Role"]["Arn"], RoleSessionName="visit")
        keys = found["Credentials"]
        return self.settings(
            **{
                "access.key": keys["AccessKeyId"],
                "secret.key": keys["SecretAccessKey"],
                "session.token": keys["SessionToken"],
            }
        )

    def place(self, **other: str) -> Callable[[str], Location]:
        """Make what finds places there, as the driver's locator does where Hadoop has no S3."""
        settings = self.settings(**other)

        def find(path: str) -> Location:
            if not path.startswith("s3a://"):
                return locate(path)
            bucket, _, key = path.removeprefix("s3a://").partition("/")
            store = open_store("s3a", bucket, settings, settings.get)
            assert store is not None
            return Location(store, f"/{key}", f"s3a://{bucket}", None, renames=False)

        return find

    def put(self, **objects: bytes) -> None:
        for name, content in objects.items():
            self.client.put_object(Bucket=BUCKET, Key=name.replace("__", "/"), Body=content)

    def names(self, prefix: str) -> set[str]:
        """List the objects, without the empty ones that Arrow puts in the place of folders."""
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", ())
        return {one["Key"].removeprefix(prefix) for one in found if one["Key"][-1] != "/"}


def serve() -> Iterator[Store]:
    """Start the server, with one user and one bucket, and stop it at the end."""
    os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "4"  # to make a user; from then on all are checked
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    import boto3
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    port = server.get_host_and_port()[1]
    where = {"endpoint_url": f"http://127.0.0.1:{port}", "region_name": REGION}
    iam = boto3.client("iam", aws_access_key_id="none", aws_secret_access_key="none", **where)
    iam.create_user(UserName="analyst")
    key = iam.create_access_key(UserName="analyst")["AccessKey"]
    actions = ["s3:*", "iam:*", "sts:*"]
    allow = [{"Effect": "Allow", "Action": actions, "Resource": "*"}]
    policy = json.dumps({"Version": "2012-10-17", "Statement": allow})
    iam.put_user_policy(UserName="analyst", PolicyName="all", PolicyDocument=policy)
    keys = {
        "aws_access_key_id": key["AccessKeyId"],
        "aws_secret_access_key": key["SecretAccessKey"],
    }
    client = boto3.client("s3", **keys, **where)
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    yield Store(
        port=port, key=key["AccessKeyId"], word=key["SecretAccessKey"], client=client,
        iam=boto3.client("iam", **keys, **where), sts=boto3.client("sts", **keys, **where),
        policy=policy, backend=s3_backends[DEFAULT_ACCOUNT_ID]["aws"],
    )  # fmt: skip
    server.stop()


class Proxy(ThreadingHTTPServer):
    """Hands requests on, but for those of which ``faults`` says otherwise, and counts them.

    Where ``region`` is set, requests that are signed for another one are sent there.
    """

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = port
        self.faults: list[str] = []
        self.region = ""
        self.seen: list[tuple[str, str]] = []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def log_message(self, *_: Any) -> None:
        pass

    def _hand_on(self) -> None:
        asked = self.headers.get("Range", "")
        self.server.seen.append((self.command, asked))
        ranged = self.command == "GET" and asked
        fault = self.server.faults.pop(0) if ranged and self.server.faults else ""
        if fault == "503":
            body = b"<Error><Code>SlowDown</Code><Message>Reduce your rate.</Message></Error>"
            return self._answer(503, {"Content-Type": "application/xml"}, body)
        region, signed = self.server.region, self.headers.get("Authorization", "")
        if region and f"/{region}/s3/" not in signed:
            body = b"<Error><Code>PermanentRedirect</Code><Message>elsewhere</Message></Error>"
            return self._answer(301, {"x-amz-bucket-region": region}, body)
        url = f"http://127.0.0.1:{self.server.behind}{self.path}"
        request = Request(url, headers=dict(self.headers), method=self.command)
        try:
            with urlopen(request) as answer:
                status, headers, body = answer.status, dict(answer.headers), answer.read()
        except HTTPError as answer:
            status, headers, body = answer.code, dict(answer.headers), answer.read()
        self._answer(status, headers, body, fault)

    do_GET = do_HEAD = _hand_on  # noqa: N815

    def _answer(self, status: int, headers: dict[str, str], body: bytes, fault: str = "") -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "connection", "server", "date"):
                self.send_header(name, value)
        length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(body))
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(body[: len(body) // 2] if fault else body)
        if fault == "stall":
            time.sleep(4)
        if fault:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
