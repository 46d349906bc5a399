"""Object stores as Arrow opens them, set up as Hadoop's settings say, or not at all.

A worker has Arrow and no Hadoop. So what Hadoop's settings say of a bucket is translated; where
they name a source of credentials that Arrow has not, nothing is, for other credentials than those
that the user chose may read what they were not to.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

from pyarrow.fs import FileSystem, SubTreeFileSystem

Secret = Callable[[str], str | None]

_S3 = ("s3a", "s3", "s3n")
_AZURE = ("abfs", "abfss")
_ATTEMPTS = 5
_CONNECT_SECONDS, _STALL_SECONDS = 10.0, 20.0

# Hadoop's providers, by the last part of their names, which versions 1 and 2 of the SDK share.
_WITH_TOKEN = {"TemporaryAWSCredentialsProvider"}
_WITH_KEYS = {"SimpleAWSCredentialsProvider", "BasicAWSCredentialsProvider"}
_NAMELESS = {"AnonymousAWSCredentialsProvider", "AnonymousCredentialsProvider"}
_OF_THE_MACHINE = {
    *("IAMInstanceCredentialsProvider", "InstanceProfileCredentialsProvider"),
    *(
        "ContainerCredentialsProvider",
        "DefaultCredentialsProvider",
        "EC2ContainerCredentialsProviderWrapper",
    ),
    "DefaultAWSCredentialsProviderChain",
}
# Spark turns the environment's keys into fs.s3a.access.key and its like before anybody asks.
_OF_THE_ENVIRONMENT = {"EnvironmentVariableCredentialsProvider"}
_USUAL = (
    *("TemporaryAWSCredentialsProvider", "SimpleAWSCredentialsProvider"),
    *("EnvironmentVariableCredentialsProvider", "IAMInstanceCredentialsProvider"),
)


def open_store(
    scheme: str,
    authority: str,
    settings: Mapping[str, str],
    secret: Secret,
    *,
    only_set: bool = False,
) -> FileSystem | None:
    """Make Arrow's filesystem of what lies below the root of a URI; no request is sent yet.

    Args:
        scheme: Of the URI, in small letters.
        authority: Its bucket, or container and account.
        settings: Hadoop's, as far as they are set.
        secret: Reads a secret by its key; None where there is none.
        only_set: Take no credentials but those that are set: the machine's own, which Arrow finds
            in more places than Hadoop does, may be somebody else's.

    Returns:
        None where the settings say what cannot be translated.
    """
    if scheme in _S3:
        return _open_s3(authority, settings, secret, only_set=only_set)
    if scheme in _AZURE:
        return _open_azure(authority, secret)
    if scheme == "gs" and not only_set:
        from pyarrow.fs import GcsFileSystem

        return SubTreeFileSystem(authority, GcsFileSystem())
    return None


def _open_s3(
    bucket: str, settings: Mapping[str, str], secret: Secret, *, only_set: bool
) -> FileSystem | None:
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

    arguments = s3_arguments(bucket, settings, secret)
    if arguments is None or (only_set and not arguments.keys() & {"access_key", "anonymous"}):
        return None
    store = S3FileSystem(
        **arguments,
        connect_timeout=_CONNECT_SECONDS,
        request_timeout=_STALL_SECONDS,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
        background_writes=False,
    )
    return SubTreeFileSystem(bucket, store)


def s3_arguments(bucket: str, settings: Mapping[str, str], secret: Secret) -> dict[str, Any] | None:
    """Translate Hadoop's settings of a bucket into arguments of ``pyarrow.fs.S3FileSystem``.

    A setting ``fs.s3a.bucket.NAME.X`` stands before ``fs.s3a.X``, as in Hadoop.

    Returns:
        None where the credentials come from a provider that Arrow has not.
    """

    def get(name: str, default: str = "") -> str:
        own = settings.get(f"fs.s3a.bucket.{bucket}.{name}")
        return (own if own is not None else settings.get(f"fs.s3a.{name}", default)).strip()

    def hidden(name: str) -> str:
        return (secret(f"fs.s3a.bucket.{bucket}.{name}") or secret(f"fs.s3a.{name}") or "").strip()

    credentials = _credentials(get("aws.credentials.provider"), hidden)
    if credentials is None or get("assumed.role.arn") or get("delegation.token.binding"):
        return None
    arguments = credentials | _place(get)
    return arguments


def _credentials(named: str, hidden: Callable[[str], str]) -> dict[str, Any] | None:
    """Go through the providers as Hadoop does: the first that has credentials gives them."""
    key, word, token = hidden("access.key"), hidden("secret.key"), hidden("session.token")
    names = [name.rpartition(".")[2] for name in re.split(r"[\s,]+", named) if name]
    for name in names or _USUAL:
        if name in _NAMELESS:
            return {"anonymous": True}
        if name in _WITH_TOKEN and key and word and token:
            return {"access_key": key, "secret_key": word, "session_token": token}
        if name in _WITH_KEYS and key and word:
            return {"access_key": key, "secret_key": word}
        if name in _WITH_TOKEN or name in _WITH_KEYS or name in _OF_THE_ENVIRONMENT:
            continue
        return {} if name in _OF_THE_MACHINE and not names else None
    return None


def _place(get: Callable[..., str]) -> dict[str, Any]:
    """Translate where the bucket is: endpoint, scheme, region, and the style of paths."""
    endpoint, region = get("endpoint"), get("endpoint.region")
    secure = get("connection.ssl.enabled", "true").lower() != "false"
    arguments: dict[str, Any] = {"scheme": "https" if secure else "http"}
    if "://" in endpoint:
        arguments["scheme"], _, endpoint = endpoint.partition("://")
    endpoint = endpoint.rstrip("/")
    amazon = re.fullmatch(r"s3[.-]?([\w-]*?)\.?amazonaws\.com(?:\.cn)?", endpoint)
    if amazon is not None:
        region = region or amazon[1]
    elif endpoint:
        arguments["endpoint_override"] = endpoint
        is_path = get("path.style.access", "false").lower() == "true" or _is_address(endpoint)
        arguments["force_virtual_addressing"] = not is_path
    if region:
        arguments["region"] = region
    return arguments


def _is_address(endpoint: str) -> bool:
    """Tell whether no bucket's name can stand before the host's, as before 127.0.0.1."""
    host = endpoint.rpartition(":")[0] or endpoint
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return host == "localhost"
    return True


def _open_azure(authority: str, secret: Secret) -> FileSystem | None:
    from pyarrow.fs import AzureFileSystem

    container, _, host = authority.partition("@")
    key = secret(f"fs.azure.account.key.{host}") or secret("fs.azure.account.key")
    if not key:
        return None
    account = host.partition(".")[0]
    return SubTreeFileSystem(container, AzureFileSystem(account, account_key=key))
