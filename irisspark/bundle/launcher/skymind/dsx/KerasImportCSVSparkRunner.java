package skymind.dsx;

import java.io.File;
import java.net.URI;
import java.util.Map;
import org.apache.spark.deploy.PythonRunner;

/**
 * Hands the archive that holds this class to Spark's own runner of Python programs.
 *
 * <p>Spark runs whatever does not end in ".py" as a JAR. This is the main class of that JAR: Python
 * then finds its {@code __main__.py} in the same file. The exit code of Python reaches spark-submit
 * through the SparkUserAppException of PythonRunner, so nothing is caught here.
 *
 * <p>Java 8 syntax without generics, as Janino compiles it.
 */
public class KerasImportCSVSparkRunner {
    private static final String DRIVER_PYTHON = "spark.pyspark.driver.python";

    public static void main(String[] args) throws Exception {
        // By the superclass's name, so that the class of the default package finds the file too.
        File archive = new File(
            KerasImportCSVSparkRunner.class.getProtectionDomain().getCodeSource().getLocation().toURI());
        String[] pythonArgs = new String[args.length + 2];
        pythonArgs[0] = archive.getPath(); // what Python runs
        pythonArgs[1] = archive.getPath(); // what goes onto PYTHONPATH
        System.arraycopy(args, 0, pythonArgs, 2, args.length);
        System.setProperty(DRIVER_PYTHON, System.getProperty(DRIVER_PYTHON,
            System.getProperty("spark.pyspark.python", choosePython(System.getenv()))));
        if ("cluster".equals(System.getProperty("spark.submit.deployMode"))) {
            unpackPython(new File(System.getProperty(DRIVER_PYTHON)));
        }
        PythonRunner.main(pythonArgs);
    }

    /**
     * Unpacks the archive that holds the driver's Python, where Spark starts the driver before it
     * does so itself: on a standalone cluster.
     */
    private static void unpackPython(File python) throws Exception {
        String[] archives = System.getProperty("spark.archives", "").split(",");
        for (int i = 0; i < archives.length; i++) {
            int alias = archives[i].lastIndexOf('#') + 1;
            File folder = new File(archives[i].substring(alias));
            if (alias > 0 && python.toPath().normalize().startsWith(folder.toPath()) && folder.mkdir()) {
                unpack(new URI(archives[i]).getPath(), folder.getPath());
            }
        }
    }

    private static void unpack(String archive, String folder) throws Exception {
        if (new ProcessBuilder(new String[] {"tar", "-xzf", archive, "-C", folder}).inheritIO().start().waitFor() != 0) {
            System.err.println("irisspark: " + archive + " cannot be unpacked where the driver runs; "
                + "put it on a path that all machines see");
            System.exit(1);
        }
    }

    /** What PythonRunner would choose, but for a notebook's server: that Python's, or the one beside. */
    private static String choosePython(Map environ) {
        String python = (String) environ.getOrDefault("PYSPARK_PYTHON", "$1python3");
        String named = (String) environ.getOrDefault("PYSPARK_DRIVER_PYTHON", "jupyter");
        return named.replaceFirst("^(.*/|)(jupyter|ipython)[^/]*$", python);
    }
}
