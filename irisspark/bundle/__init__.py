"""The archive: a JAR for spark-submit, a zipapp and a py-file in one."""
