"""Ranges of files read by Spark's executors, which have Hadoop's clients, settings and tokens.

Spark's own sources of data give lines without their places, or whole files of up to 2 GB. What
carries ranges is one Java class, which the compiler compiles that Spark has for its own code.
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

_CLASS = "irisspark.FileRanges"


def carry(session: Session, requests: Sequence[bytes]) -> RDD[bytes]:
    """Give the answers to requests, a partition each, as ``FileRanges.java`` has them."""
    from pyspark import RDD
    from pyspark.serializers import NoOpSerializer

    context = session.context
    jvm = context._jvm
    assert jvm is not None
    items = jvm.java.util.ArrayList()
    for one in requests:
        items.add(bytearray(one))
    reader = _reader(context)
    carried = context._jsc.parallelize(items, len(requests)).flatMap(reader)
    return RDD(carried, context, NoOpSerializer())


@functools.lru_cache(maxsize=1)
def _reader(context: SparkContext) -> Any:
    """Make the Java object that reads; every machine of the cluster gets its class."""
    jvm: Any = context._jvm
    parent = jvm.java.lang.Thread.currentThread().getContextClassLoader()
    compiler = jvm.org.codehaus.janino.SimpleCompiler()
    compiler.setParentClassLoader(parent)
    source = pkgutil.get_data(__package__, "FileRanges.java")
    assert source is not None
    compiler.cook(source.decode())
    file = jvm.java.io.File.createTempFile("irisspark-", ".jar")
    file.deleteOnExit()
    with zipfile.ZipFile(str(file.getPath()), "w") as jar:
        for name, code in dict(compiler.getBytecodes()).items():
            jar.writestr(f"{name.replace('.', '/')}.class", bytes(code))
    context._jsc.addJar(str(file.getPath()))
    urls = jvm.java.lang.reflect.Array.newInstance(jvm.java.net.URL._java_lang_class, 1)
    urls[0] = file.toURI().toURL()
    loader = jvm.java.net.URLClassLoader(urls, parent)
    maker = loader.loadClass(_CLASS).getConstructors()[0]
    arguments = jvm.java.lang.reflect.Array.newInstance(jvm.java.lang.Object._java_lang_class, 1)
    arguments[0] = context._jsc.hadoopConfiguration()
    return maker.newInstance(arguments)
