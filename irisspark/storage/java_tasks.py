"""Files read and written by Spark's executors, which have Hadoop's clients, settings and tokens.

Spark's own sources of data give lines without their places, or whole files of up to 2 GB, and what
it writes are rows. What carries bytes are two Java classes, which the compiler compiles that Spark
has for its own code.
"""

from __future__ import annotations

import functools
import pkgutil
import zipfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark import RDD, SparkContext

    from irisspark.startup.session import Session


def carry(session: Session, requests: Sequence[bytes]) -> RDD[bytes]:
    """Give the answers to requests, a partition each, as ``FileRanges.java`` has them."""
    context = session.context
    jvm = context._jvm
    assert jvm is not None
    items = jvm.java.util.ArrayList()
    for one in requests:
        items.add(bytearray(one))
    reader = _make(context, "FileRanges")
    return _rdd(context, context._jsc.parallelize(items, len(requests)).flatMap(reader))


def write_out(session: Session, handed: RDD[bytes], root: str) -> RDD[bytes]:
    """Write the files that workers hand over, and give what ``FileParts.java`` says of it.

    Args:
        session: The open session.
        handed: What ``handed.hand_over`` gives, just mapped, by nobody else used.
        root: What the files' URIs begin with: scheme and authority.
    """
    scheme, _, authority = root.partition("://")
    writer = _make(session.context, "FileParts", scheme, authority)
    handed._bypass_serializer = True  # as the bytes that they are
    return _rdd(session.context, handed._jrdd.mapPartitions(writer))


def _rdd(context: SparkContext, of_java: Any) -> RDD[bytes]:
    from pyspark import RDD
    from pyspark.serializers import NoOpSerializer

    return RDD(of_java, context, NoOpSerializer())


def _make(context: SparkContext, name: str, *more: str) -> Any:
    """Make a Java object of Hadoop's settings and what else its class is told."""
    jvm: Any = context._jvm
    arguments = (context._jsc.hadoopConfiguration(), *more)
    array = jvm.java.lang.reflect.Array.newInstance(
        jvm.java.lang.Object._java_lang_class, len(arguments)
    )
    for index, argument in enumerate(arguments):
        array[index] = argument
    return _class_of(context, name).getConstructors()[0].newInstance(array)


@functools.lru_cache(maxsize=2)
def _class_of(context: SparkContext, name: str) -> Any:
    """Compile a class; every machine of the cluster gets it."""
    jvm: Any = context._jvm
    parent = jvm.java.lang.Thread.currentThread().getContextClassLoader()
    compiler = jvm.org.codehaus.janino.SimpleCompiler()
    compiler.setParentClassLoader(parent)
    source = pkgutil.get_data(__package__, f"{name}.java")
    assert source is not None
    compiler.cook(source.decode())
    file = jvm.java.io.File.createTempFile("irisspark-", ".jar")
    file.deleteOnExit()
    with zipfile.ZipFile(str(file.getPath()), "w") as jar:
        for compiled, code in dict(compiler.getBytecodes()).items():
            jar.writestr(f"{compiled.replace('.', '/')}.class", bytes(code))
    context._jsc.addJar(str(file.getPath()))
    urls = jvm.java.lang.reflect.Array.newInstance(jvm.java.net.URL._java_lang_class, 1)
    urls[0] = file.toURI().toURL()
    return jvm.java.net.URLClassLoader(urls, parent).loadClass(f"irisspark.{name}")
