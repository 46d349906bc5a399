package irisspark;

import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Iterator;
import java.util.NoSuchElementException;

import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.Path;
import org.apache.spark.TaskContext;
import org.apache.spark.api.java.function.FlatMapFunction;
import org.apache.spark.util.SerializableConfiguration;
import org.apache.spark.util.TaskCompletionListener;

/**
 * Reads ranges of files in a task of Spark's, with Hadoop's client, for a Python worker without one.
 *
 * A request is what carried.py makes of it: bytes for the worker, then the ranges. The answer is
 * these bytes, then the contents of each range in turn, in pieces with a letter before each:
 * M for a piece that more follow, L for the last one of a range, F for a failure (the name of its
 * class, a line feed, its message) and C for a file that has changed (its size now), which end it.
 *
 * A range of lines ends behind the line feed at its last byte or later, as blocks.py reads it.
 */
public final class FileRanges implements FlatMapFunction {
    private final SerializableConfiguration configuration;

    public FileRanges(Configuration configuration) {
        this.configuration = new SerializableConfiguration(configuration);
    }

    public Iterator call(Object request) throws IOException {
        Pieces pieces = new Pieces((Configuration) configuration.value(), (byte[]) request);
        TaskContext.get().addTaskCompletionListener((TaskCompletionListener) pieces);
        return pieces;
    }

    private static final class Pieces implements Iterator, TaskCompletionListener {
        private static final int PIECE_BYTES = 1 << 20;
        private static final int TAIL_BYTES = 64 << 10;

        private final Configuration configuration;
        private final DataInputStream request;
        private byte[] head;
        private int rangesLeft;

        private FileSystem fileSystem;
        private Path path;
        private FSDataInputStream stream;
        private long size;
        private long modified;
        private long position;
        private long end;  // -1 for that of the file
        private boolean hasLine;  // whether a line is known to begin in the range

        Pieces(Configuration configuration, byte[] request) throws IOException {
            this.configuration = configuration;
            this.request = new DataInputStream(new ByteArrayInputStream(request));
            this.head = bytes();
            this.rangesLeft = this.request.readInt();
        }

        public boolean hasNext() {
            return head != null || stream != null || rangesLeft > 0;
        }

        public Object next() {
            if (!hasNext()) {
                throw new NoSuchElementException();
            }
            if (head != null) {
                byte[] first = head;
                head = null;
                return first;
            }
            try {
                if (stream == null) {
                    open();
                }
                return piece();
            } catch (IOException error) {
                return failure(error);
            } catch (RuntimeException error) {
                return failure(error);
            }
        }

        public void onTaskCompletion(TaskContext context) {
            close();
        }

        public void remove() {
            throw new UnsupportedOperationException();
        }

        private void open() throws IOException {
            rangesLeft--;
            String scheme = text();
            String authority = text();
            path = new Path(scheme, authority.isEmpty() ? null : authority, text());
            size = request.readLong();
            modified = request.readLong();
            position = request.readLong();
            end = request.readLong();
            hasLine = position == 0;
            fileSystem = path.getFileSystem(configuration);
            stream = fileSystem.open(path);
            stream.seek(position);
        }

        private byte[] piece() throws IOException {
            int wanted = PIECE_BYTES;
            if (end >= 0) {
                wanted = (int) Math.min(PIECE_BYTES, Math.max(end - position, 0) + TAIL_BYTES);
            }
            byte[] piece = new byte[1 + wanted];
            int got = 0;
            while (got < wanted) {
                int more = stream.read(piece, 1 + got, wanted - got);
                if (more < 0) {
                    break;
                }
                got += more;
            }
            boolean isLast = got < wanted || endsRange(piece, got);
            position += got;
            if (isLast) {
                FileStatus status = fileSystem.getFileStatus(path);
                if (status.getLen() != size || status.getModificationTime() != modified) {
                    return stop('C', Long.toString(status.getLen()));
                }
                close();
            }
            piece[0] = (byte) (isLast ? 'L' : 'M');
            return got < wanted ? Arrays.copyOf(piece, 1 + got) : piece;
        }

        /** Tells whether a piece, which begins at the position, is all that the range still needs. */
        private boolean endsRange(byte[] piece, int length) {
            if (end < 0) {
                return false;
            }
            hasLine = hasLine || hasLineFeed(piece, 0, Math.min(length, end - 1 - position));
            boolean isBehind = position + length >= end;
            return isBehind && (!hasLine || hasLineFeed(piece, end - 1 - position, length));
        }

        private static boolean hasLineFeed(byte[] piece, long from, long to) {
            for (int index = (int) Math.max(from, 0); index < to; index++) {
                if (piece[1 + index] == '\n') {
                    return true;
                }
            }
            return false;
        }

        private byte[] failure(Exception error) {
            String message = error.getLocalizedMessage();
            String name = error.getClass().getSimpleName();
            return stop('F', name + "\n" + (message == null ? name : message));
        }

        private byte[] stop(char letter, String text) {
            close();
            rangesLeft = 0;
            return (letter + text).getBytes(StandardCharsets.UTF_8);
        }

        private void close() {
            FSDataInputStream open = stream;
            stream = null;
            if (open != null) {
                try {
                    open.close();
                } catch (IOException error) {
                    // Everything that was wanted of it is read.
                }
            }
        }

        private byte[] bytes() throws IOException {
            byte[] bytes = new byte[request.readInt()];
            request.readFully(bytes);
            return bytes;
        }

        private String text() throws IOException {
            return new String(bytes(), StandardCharsets.UTF_8);
        }
    }
}
