"""spark-submit's own options, and the keys of its configuration that they set."""

from __future__ import annotations

MASTER = "spark.master"
DEPLOY_MODE = "spark.submit.deployMode"
FILES = "spark.files"
DRIVER_FLAGS = "spark.driver.extraJavaOptions"

# spark-submit's options that set a key of the configuration; every other key is set with --conf.
OPTION_KEYS = {
    "--archives": "spark.archives",
    "--deploy-mode": DEPLOY_MODE,
    "--driver-class-path": "spark.driver.extraClassPath",
    "--driver-cores": "spark.driver.cores",
    "--driver-java-options": DRIVER_FLAGS,
    "--driver-library-path": "spark.driver.extraLibraryPath",
    "--driver-memory": "spark.driver.memory",
    "--executor-cores": "spark.executor.cores",
    "--executor-memory": "spark.executor.memory",
    "--files": FILES,
    "--jars": "spark.jars",
    "--keytab": "spark.kerberos.keytab",
    "--master": MASTER,
    "--name": "spark.app.name",
    "--num-executors": "spark.executor.instances",
    "--packages": "spark.jars.packages",
    "--principal": "spark.kerberos.principal",
    "--py-files": "spark.submit.pyFiles",
    "--queue": "spark.yarn.queue",
    "--total-executor-cores": "spark.cores.max",
}
SWITCHES = frozenset(
    {
        *("--help", "-h", "--load-spark-defaults", "--supervise"),
        *("--usage-error", "--verbose", "-v", "--version"),
    }
)

OTHERS = frozenset({"--class", "--conf", "-c", "--properties-file"})
"""Those that take a value and set no key of their own."""
