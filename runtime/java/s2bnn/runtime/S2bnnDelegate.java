package s2bnn.runtime;

import org.tensorflow.lite.Delegate;

/**
 * The delegate for TFLite's Java interface, on Android or elsewhere:
 *
 * <pre>
 * try (S2bnnDelegate delegate = new S2bnnDelegate();
 *     Interpreter interpreter =
 *         new Interpreter(modelFile, new Interpreter.Options().setNumThreads(4).addDelegate(delegate))) {
 *   interpreter.run(input, output);
 * }
 * </pre>
 *
 * The library libs2bnn_delegate.so has to be where System.loadLibrary finds it: in an app in jniLibs/arm64-v8a, elsewhere in
 * java.library.path. The delegate must live as long as the interpreter.
 */
public final class S2bnnDelegate implements Delegate, AutoCloseable {
  static {
    System.loadLibrary("s2bnn_delegate");
  }

  private long handle = create();

  /** Throws IllegalStateException if the library cannot make a delegate; it says why on standard error. */
  public S2bnnDelegate() {
    if (handle == 0) throw new IllegalStateException("no delegate could be made");
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

  private static native void destroy(long handle); // 0: nothing
}
