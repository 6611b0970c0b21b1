import java.nio.file.Files;
import java.nio.file.Path;
import s2bnn.runtime.S2bnnDelegate;

/** Does the same as examples/run_model.c, with a delegate made in Java. */
final class RunModel {
  public static void main(String[] arguments) throws Exception {
    System.loadLibrary("run_model_jni");
    S2bnnDelegate delegate = new S2bnnDelegate();
    byte[] model = Files.readAllBytes(Path.of(arguments[0]));
    byte[] input = Files.readAllBytes(Path.of(arguments[1]));
    byte[] output = run(model, input, delegate.getNativeHandle());
    if (output == null) throw new IllegalStateException("the model was not run");
    Files.write(Path.of(arguments[2]), output);
    delegate.close();
    delegate.close(); // twice does no harm
    try {
      delegate.getNativeHandle();
    } catch (IllegalStateException closed) {
      return;
    }
    throw new AssertionError("a closed delegate has a handle");
  }

  private static native byte[] run(byte[] model, byte[] input, long delegate);
}
