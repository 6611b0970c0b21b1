package s2bnn.runtime;

import org.tensorflow.lite.Delegate;

/**
 * The delegate for TFLite's Java interface, on Android or elsewhere:
 *
 * <pre>
 * Interpreter.Options options = new Interpreter.Options().setNumThreads(4);
 * try (S2bnnDelegate delegate = new S2bnnDelegate();
 *     Interpreter interpreter = new Interpreter(modelFile, options.addDelegate(delegate))) {
 *   interpreter.run(input, output);
 * }
 * </pre>
 *
 * System.loadLibrary has to find the library libs2bnn_delegate.so: put it into jniLibs/arm64-v8a of
 * an app, or into a folder of java.library.path elsewhere. The delegate must live as long as the
 * interpreter.
 */
public final class S2bnnDelegate implements Delegate, AutoCloseable {
  static {
    System.loadLibrary("s2bnn_delegate");
  }

  private long handle = create();

  /** Throws IllegalStateException if the library makes no delegate. It prints the reason. */
  public S2bnnDelegate() {
    if (handle == 0) {
      throw new IllegalStateException("the library made no delegate: see standard error");
    }
  }

  @Override
  public long getNativeHandle() {
    if (handle == 0) throw new IllegalStateException("the delegate is closed");
    return handle;
  }

  @Override
  public void close() {
    destroy(handle);
    handle = 0;
  }

  private static native long create();

  private static native void destroy(long handle); // does nothing for 0
}
