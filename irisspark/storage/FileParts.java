package irisspark;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Iterator;

import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.Path;
import org.apache.spark.TaskContext;
import org.apache.spark.api.java.function.FlatMapFunction;
import org.apache.spark.util.SerializableConfiguration;
import org.apache.spark.util.TaskCompletionListener;

/**
 * Writes files in a task of Spark's, with Hadoop's client, for a Python worker without one.
 *
 * What comes from the worker is what handed.py makes of it, with a letter before each: N for the
 * path of a file, M for a piece of it, R for what the worker gives back once it has written. Each R
 * goes on, as it is, when the files before it are closed; or else as an F, which is followed by the
 * length of a text, the text (the name of a failure's class, a line feed, its message), and the
 * same. A file that is not whole when the task ends is removed.
 */
public final class FileParts implements FlatMapFunction {
    private final SerializableConfiguration configuration;
    private final String scheme;
    private final String authority;

    public FileParts(Configuration configuration, String scheme, String authority) {
        this.configuration = new SerializableConfiguration(configuration);
        this.scheme = scheme;
        this.authority = authority.isEmpty() ? null : authority;
    }

    public Iterator call(Object items) {
        Answers answers = new Answers((Configuration) configuration.value(), (Iterator) items, scheme, authority);
        TaskContext.get().addTaskCompletionListener((TaskCompletionListener) answers);
        return answers;
    }

    private static final class Answers implements Iterator, TaskCompletionListener {
        private final Configuration configuration;
        private final Iterator items;
        private final String scheme;
        private final String authority;

        private FileSystem fileSystem;
        private Path path;
        private FSDataOutputStream stream;
        private String failure;

        Answers(Configuration configuration, Iterator items, String scheme, String authority) {
            this.configuration = configuration;
            this.items = items;
            this.scheme = scheme;
            this.authority = authority;
        }

        public boolean hasNext() {
            return items.hasNext();
        }

        public Object next() {
            byte[] item = (byte[]) items.next();
            while (item[0] != 'R') {
                take(item);
                item = (byte[]) items.next();
            }
            take(item);
            return failure == null ? item : failed(item);
        }

        public void onTaskCompletion(TaskContext context) {
            abandon();
        }

        public void remove() {
            throw new UnsupportedOperationException();
        }

        private void take(byte[] item) {
            if (failure != null) {
                return;
            }
            try {
                if (item[0] == 'M') {
                    stream.write(item, 1, item.length - 1);
                    return;
                }
                finish();
                if (item[0] == 'N') {
                    open(new String(item, 1, item.length - 1, StandardCharsets.UTF_8));
                }
            } catch (IOException error) {
                fail(error);
            } catch (RuntimeException error) {
                fail(error);
            }
        }

        private void open(String name) throws IOException {
            path = new Path(scheme, authority, name);
            fileSystem = path.getFileSystem(configuration);
            stream = fileSystem.create(path, true);
        }

        private void finish() throws IOException {
            if (stream != null) {
                stream.close();
                stream = null;
            }
        }

        private void fail(Exception error) {
            String message = error.getLocalizedMessage();
            String name = error.getClass().getSimpleName();
            failure = name + "\n" + (message == null ? name : message);
            abandon();
        }

        private void abandon() {
            FSDataOutputStream open = stream;
            stream = null;
            if (open == null) {
                return;
            }
            try {
                open.close();
            } catch (IOException error) {
                // It is removed in any case.
            }
            try {
                fileSystem.delete(path, false);
            } catch (IOException error) {
                // No result names it, so nobody reads it.
            }
        }

        private byte[] failed(byte[] item) {
            byte[] text = failure.getBytes(StandardCharsets.UTF_8);
            failure = null;
            ByteBuffer answer = ByteBuffer.allocate(1 + 4 + text.length + item.length - 1);
            answer.put((byte) 'F').putInt(text.length).put(text).put(item, 1, item.length - 1);
            return answer.array();
        }
    }
}
