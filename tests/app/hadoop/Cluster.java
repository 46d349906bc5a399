import java.io.BufferedReader;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.URI;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Map;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.DelegateToFileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.RawLocalFileSystem;
import org.apache.hadoop.fs.permission.FsPermission;
import org.apache.hadoop.hdfs.HdfsConfiguration;
import org.apache.hadoop.hdfs.MiniDFSCluster;
import org.apache.hadoop.hdfs.MiniDFSNNTopology;
import org.apache.hadoop.hdfs.server.namenode.ha.HATestUtil;
import org.apache.hadoop.yarn.conf.YarnConfiguration;
import org.apache.hadoop.yarn.server.MiniYARNCluster;

/**
 * A real name node, data nodes, resource manager and node managers in one process, for tests.
 *
 * <p>Arguments: a folder for everything, the number of data nodes, the number of node managers.
 * Writes a client's settings to the folder {@code conf} in it, prints "ready", and ends when its
 * standard input does. In the Java that Janino understands, which is among the jars of Spark.
 *
 * <p>A word on standard input is done and then printed: "pair" starts another HDFS, of two name
 * nodes and two data nodes, and writes its client's settings to the folder {@code pair};
 * "lose-name-node" ends its active name node, and "lose-data-node" one of its data nodes.
 */
public final class Cluster {
    private static final long STOP_MILLISECONDS = 10_000;

    private static final String LOCAL_FILES = "fs.AbstractFileSystem.file.impl";

    private Cluster() {}

    public static void main(String[] args) throws Exception {
        Thread.currentThread().setContextClassLoader(Cluster.class.getClassLoader()); // has LocalFiles
        File base = new File(args[0]).getAbsoluteFile();
        int dataNodes = Integer.parseInt(args[1]);
        int nodeManagers = Integer.parseInt(args[2]);
        System.setProperty("test.build.data", base.getPath()); // where YARN keeps its folders
        File conf = new File(base, "conf");
        conf.mkdirs();
        Configuration dfs = startHdfs(base, dataNodes);
        final MiniYARNCluster yarn = startYarn(dfs, nodeManagers);
        write(yarn.getConfig(), conf);
        Runtime.getRuntime().addShutdownHook(new Thread(new Stop(yarn)));
        System.out.println("ready");
        BufferedReader words = new BufferedReader(new InputStreamReader(System.in));
        MiniDFSCluster pair = null;
        for (String word = words.readLine(); word != null; word = words.readLine()) {
            if (word.equals("pair")) {
                pair = startPair(base);
            } else if (word.equals("lose-name-node")) {
                pair.shutdownNameNode(0);
                pair.transitionToActive(1);
            } else {
                pair.stopDataNode(0);
            }
            System.out.println(word);
        }
        System.exit(0);
    }

    private static Configuration startHdfs(File base, int dataNodes) throws Exception {
        HdfsConfiguration settings = new HdfsConfiguration();
        settings.set(MiniDFSCluster.HDFS_MINIDFS_BASEDIR, new File(base, "dfs").getPath());
        settings.setInt("dfs.replication", Math.min(dataNodes, 2));
        settings.set("dfs.namenode.fs-limits.min-block-size", "1024");
        MiniDFSCluster cluster = new MiniDFSCluster.Builder(settings).numDataNodes(dataNodes).build();
        cluster.waitActive();
        Configuration found = cluster.getConfiguration(0);
        found.set("fs.defaultFS", cluster.getFileSystem().getUri().toString());
        return found;
    }

    private static MiniDFSCluster startPair(File base) throws Exception {
        HdfsConfiguration settings = new HdfsConfiguration();
        settings.set(MiniDFSCluster.HDFS_MINIDFS_BASEDIR, new File(base, "dfs-pair").getPath());
        settings.setInt("dfs.replication", 2);
        settings.setInt("dfs.blocksize", 1 << 20);
        MiniDFSCluster cluster = new MiniDFSCluster.Builder(settings)
                .nnTopology(MiniDFSNNTopology.simpleHATopology())
                .numDataNodes(2)
                .build();
        cluster.transitionToActive(0);
        cluster.waitActive();
        Configuration found = new Configuration(settings);
        HATestUtil.setFailoverConfigurations(cluster, found, "pair");
        File conf = new File(base, "pair");
        conf.mkdirs();
        write(found, conf);
        return cluster;
    }

    private static MiniYARNCluster startYarn(Configuration dfs, int nodeManagers) {
        YarnConfiguration settings = new YarnConfiguration(dfs);
        settings.set("yarn.scheduler.capacity.root.queues", "default,full");
        settings.set("yarn.scheduler.capacity.root.default.capacity", "100");
        settings.set("yarn.scheduler.capacity.root.full.capacity", "0");
        settings.set("yarn.scheduler.capacity.root.full.maximum-capacity", "0");
        settings.set("yarn.scheduler.capacity.root.full.maximum-applications", "10");
        settings.set("yarn.scheduler.capacity.maximum-am-resource-percent", "0.9");
        settings.setInt("yarn.scheduler.minimum-allocation-mb", 256);
        settings.setInt("yarn.minicluster.yarn.nodemanager.resource.memory-mb", 8192);
        settings.setInt("yarn.nodemanager.resource.cpu-vcores", 8);
        settings.set("yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage", "99.9");
        killTheLarge(settings);
        MiniYARNCluster cluster = new MiniYARNCluster("irisspark", nodeManagers, 1, 1);
        cluster.init(settings);
        cluster.start();
        return cluster;
    }

    /** Lets node managers kill what takes more memory than it asked for; by itself this one does not look. */
    private static void killTheLarge(Configuration settings) {
        settings.setBoolean("yarn.minicluster.control-resource-monitoring", true);
        settings.setBoolean("yarn.nodemanager.resource.memory.enforced", false); // that is cgroups' way
        settings.setBoolean("yarn.nodemanager.pmem-check-enabled", true);
        settings.setBoolean("yarn.nodemanager.vmem-check-enabled", false);
        settings.setInt("yarn.nodemanager.container-monitor.interval-ms", 500); // jobs here are short
    }

    /** Each setting goes to the file after whose defaults it is read. */
    private static void write(Configuration settings, File folder) throws Exception {
        write(settings, new File(folder, "core-site.xml"), "fs.");
        write(settings, new File(folder, "hdfs-site.xml"), "dfs.");
        write(settings, new File(folder, "yarn-site.xml"), "yarn.");
    }

    private static void write(Configuration settings, File file, String prefix) throws Exception {
        Configuration clients = new Configuration(false);
        for (Object each : settings) {
            Map.Entry entry = (Map.Entry) each;
            String key = (String) entry.getKey();
            String[] sources = settings.getPropertySources(key);
            boolean isDefault = sources != null && sources[sources.length - 1].endsWith("-default.xml");
            if (key.startsWith(prefix) && !isDefault && !key.equals(LOCAL_FILES)) {
                clients.set(key, (String) entry.getValue());
            }
        }
        OutputStream out = new FileOutputStream(file);
        clients.writeXml(out);
        out.close();
    }

    /**
     * A node manager's own files, whose permissions are set without a process for each of them.
     *
     * <p>As Hadoop's native library does it, which no jar brings: without it, a node manager starts
     * {@code chmod} once for each of the 12,000 files of an archive with packages. Named in {@code
     * core-site.xml}, since a node manager asks for it by settings of its own.
     */
    public static final class LocalFiles extends DelegateToFileSystem {
        public LocalFiles(URI uri, Configuration settings) throws IOException, URISyntaxException {
            super(uri, new Permitting(), settings, "file", false);
        }

        public int getUriDefaultPort() {
            return -1;
        }

        public boolean isValidName(String name) {
            return true;
        }
    }

    private static final class Permitting extends RawLocalFileSystem {
        public void setPermission(Path path, FsPermission permission) throws IOException {
            String letters = permission.getUserAction().SYMBOL
                    + permission.getGroupAction().SYMBOL
                    + permission.getOtherAction().SYMBOL;
            Files.setPosixFilePermissions(
                    pathToFile(path).toPath(), PosixFilePermissions.fromString(letters));
        }
    }

    /** Ends the containers, and does not wait for ever. */
    private static final class Stop implements Runnable {
        private final MiniYARNCluster yarn;

        Stop(MiniYARNCluster yarn) {
            this.yarn = yarn;
        }

        public void run() {
            Thread stopping = new Thread(new Runnable() {
                public void run() {
                    yarn.stop();
                }
            });
            stopping.setDaemon(true);
            stopping.start();
            try {
                stopping.join(STOP_MILLISECONDS);
            } catch (InterruptedException error) {
                Thread.currentThread().interrupt();
            }
            Runtime.getRuntime().halt(0);
        }
    }
}
