"""Where the user's paths lead, as Hadoop's settings of this run say."""

from __future__ import annotations

import functools
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from pyarrow.fs import FileSystem, PyFileSystem

from irisspark.errors import IrissparkError
from irisspark.storage.location import Locate, Location, locate
from irisspark.storage.uris import split_root

_NO_CLIENT = "the package hdfs-native is not installed (pip install 'irisspark[hdfs]')"
_LOCAL = ("", "file")
_HDFS = ("hdfs", "viewfs")
_OBJECT_STORES = ("s3a", "s3", "s3n", "gs", "abfs", "abfss", "wasb", "wasbs", "oss", "cosn")
_ADDRESS = "dfs.namenode.rpc-address"
# What a client of HDFS needs to know, and no more: an executor has none of it by itself.
_FOR_HDFS = (
    *("fs.defaultFS", "fs.viewfs.", "dfs.nameservices", "dfs.ha.", "dfs.client."),
    *(_ADDRESS, "dfs.data.transfer.", "dfs.encrypt.data.transfer"),
    *("hadoop.rpc.protection", "hadoop.security.authentication"),
)


class Locator:
    """From a path of the user's to its place, on the driver.

    Args:
        jvm: Spark's, as py4j shows it.
        conf: Hadoop's configuration in it.
        has_tokens: Whether a worker finds tokens or tickets of the user's where Hadoop wants them.
    """

    def __init__(self, jvm: Any, conf: Any, *, has_tokens: bool = True) -> None:
        """Ask nothing yet."""
        self._jvm, self._conf, self._has_tokens = jvm, conf, has_tokens

    def __call__(self, path: str) -> Location:
        """Find out where a path lies: by its scheme, or else as ``fs.defaultFS`` says.

        Raises:
            IrissparkError: Nothing here can read that scheme.
            OSError: The filesystem cannot be reached.
        """
        root, below = split_root(path)
        if not root:
            if path.lower().startswith("file:") or path.startswith("~") or self._is_local:
                return locate(path)
            return self._default(path)
        scheme = root.partition(":")[0].lower()
        if scheme == "viewfs" or self._class_of(scheme) is not None:
            return self._by_hadoop(root, below)
        return self._by_arrow(scheme, root, below)

    @functools.cached_property
    def _default_root(self) -> str:
        return str(self._conf.get("fs.defaultFS", "file:///"))

    @functools.cached_property
    def _is_local(self) -> bool:
        return self._default_root.partition(":")[0].lower() in _LOCAL

    def _default(self, path: str) -> Location:
        from irisspark.storage.hadoop_files import asking_java

        with asking_java():
            filesystem = self._jvm.org.apache.hadoop.fs.FileSystem.get(self._conf)
            home = str(filesystem.getWorkingDirectory().toUri().getPath())
        location = self._by_hadoop(split_root(self._default_root)[0], home)
        return location / path if path else location

    def _class_of(self, scheme: str) -> Any:
        """Find Hadoop's class for a scheme; None where the cluster has none."""
        try:
            return self._jvm.org.apache.hadoop.fs.FileSystem.getFileSystemClass(scheme, self._conf)
        except Exception:
            return None

    def _by_hadoop(self, root: str, below: str) -> Location:
        from irisspark.storage.hadoop_files import HadoopFiles, asking_java

        with asking_java():
            uri = self._jvm.java.net.URI(f"{root}/")
            filesystem = self._jvm.org.apache.hadoop.fs.FileSystem.get(uri, self._conf)
            root = str(filesystem.getUri().toString()).rstrip("/")
        files = PyFileSystem(HadoopFiles(self._jvm, self._conf, filesystem, root))
        scheme = root.partition(":")[0].lower()
        renames, obstacle = scheme not in _OBJECT_STORES, self._obstacle(scheme)
        elsewhere = None if obstacle else self._for_workers(scheme, root)
        if elsewhere is None:
            obstacle = obstacle or self._unknown(scheme)
        return Location(files, below or "/", root, elsewhere, renames, obstacle)

    def _for_workers(self, scheme: str, root: str) -> FileSystem | None:
        if scheme in _HDFS:
            return PyFileSystem(self._hdfs(root))
        return self._object_store(scheme, root, only_set=True)

    def _obstacle(self, scheme: str) -> str:
        """Say why a worker cannot use its own client of HDFS; empty where it can."""
        if scheme not in _HDFS:
            return ""
        if importlib.util.find_spec("hdfs_native") is None:
            return _NO_CLIENT
        if scheme == "viewfs" and (target := self._link_elsewhere()) is not None:
            return f"their client of HDFS cannot follow a link of viewfs to {target}"
        is_secured = self._jvm.org.apache.hadoop.security.UserGroupInformation.isSecurityEnabled()
        if is_secured and not self._has_tokens:
            return "Hadoop wants Kerberos, and only YARN gives them tokens"
        return ""

    def _link_elsewhere(self) -> str | None:
        """Find what a mount table links to that is not on HDFS; None where all of it is."""
        links = (key for key in self.settings if key.startswith("fs.viewfs.mounttable."))
        targets = (self.settings[key] for key in links if ".link" in key)
        return next((target for target in targets if not target.startswith("hdfs:")), None)

    def _unknown(self, scheme: str) -> str:
        if scheme in _OBJECT_STORES:
            return (
                "its credentials come from where only a JVM finds them (such as a provider of "
                "fs.s3a.aws.credentials.provider, or the role of a machine)"
            )
        return f"nothing outside a JVM knows {scheme}:"

    def _hdfs(self, root: str) -> Any:
        from irisspark.storage.hdfs_files import HdfsFiles

        settings = tuple(
            # An address may be a URI to Hadoop's own client, and is none to the other one.
            (key, value.removeprefix("hdfs://") if key.startswith(_ADDRESS) else value)
            for key, value in sorted(self.settings.items())
            if key.startswith(_FOR_HDFS)
        )
        user = self._jvm.org.apache.hadoop.security.UserGroupInformation.getCurrentUser()
        return HdfsFiles(root, settings, str(user.getShortUserName()))

    def _object_store(self, scheme: str, root: str, *, only_set: bool = False) -> FileSystem | None:
        from irisspark.storage import object_stores

        authority = root.partition("://")[2]
        return object_stores.open_store(
            scheme, authority, self.settings, self._secret, only_set=only_set
        )

    def _by_arrow(self, scheme: str, root: str, below: str) -> Location:
        store = self._object_store(scheme, root)
        if store is None:
            raise IrissparkError(
                f"{root}{below}: Hadoop has no filesystem for {scheme}: here, and what its "
                "settings say cannot be done without; give spark-submit its package, "
                "--packages org.apache.hadoop:hadoop-aws:3.4.1 for s3a"
            )
        return Location(store, below or "/", root, None, renames=False)

    @functools.cached_property
    def settings(self) -> Mapping[str, str]:
        """What is set of Hadoop's configuration, without what its own defaults say."""
        writer = self._jvm.java.io.StringWriter()
        self._jvm.org.apache.hadoop.conf.Configuration.dumpConfiguration(self._conf, writer)
        properties = json.loads(str(writer.toString()))["properties"]
        return {
            one["key"]: one["value"]
            for one in properties
            if one["value"] is not None and not str(one["resource"]).endswith("-default.xml")
        }

    def _secret(self, key: str) -> str | None:
        """Read a secret as Hadoop does: from a credential store, or the settings."""
        characters = self._conf.getPassword(key)
        return None if characters is None else "".join(characters)


def locator(session: _Session) -> Locate:
    """Make what finds places for a session; of one without a JVM all are on this disk."""
    hadoop = session.hadoop
    return locate if hadoop is None else Locator(*hadoop, has_tokens=session.has_tokens)


def for_workers(session: _Session, location: Location) -> Location:
    """Look at a place once more with what the workers have; of HDFS it waits for them to say."""
    is_hdfs = location.root.partition(":")[0].lower() in _HDFS
    if is_hdfs and location.travels and session.lacks_hdfs:
        return replace(location, obstacle=_NO_CLIENT)
    return location


class _Session(Protocol):
    @property
    def hadoop(self) -> tuple[Any, Any] | None:
        """Spark's JVM, and Hadoop's configuration in it."""

    @property
    def lacks_hdfs(self) -> bool:
        """True where a worker has no client of HDFS."""

    @property
    def has_tokens(self) -> bool:
        """True where a worker finds tokens or tickets of Kerberos."""
