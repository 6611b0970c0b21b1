package s2bnn;

import java.nio.ByteBuffer;

/**
 * A network that `s2bnn export-c MODEL.tflite DIR --arena external` wrote, on Android or elsewhere:
 *
 * <pre>
 * Model model = new Model();
 * Bitmap scaled = Bitmap.createScaledBitmap(photo, Model.WIDTH, Model.HEIGHT, true);
 * int[] pixels = new int[Model.WIDTH * Model.HEIGHT];
 * scaled.getPixels(pixels, 0, Model.WIDTH, 0, 0, Model.WIDTH, Model.HEIGHT);
 * float[] features = model.run(pixels);
 * </pre>
 *
 * System.loadLibrary has to find libs2bnn_model.so, which is model.c, s2bnn_kernels.c and
 * s2bnn_jni.c: put it into jniLibs/arm64-v8a of an app, or into a folder of java.library.path
 * elsewhere. Each object has memory of its own, so several threads can each have one.
 */
public final class Model {
  static {
    System.loadLibrary("s2bnn_model");
  }

  public static final int HEIGHT = size(0);
  public static final int WIDTH = size(1);
  public static final int OUTPUTS = size(2);

  private final ByteBuffer arena = ByteBuffer.allocateDirect(size(3));

  /**
   * Runs the network on a picture of its size.
   *
   * @param pixels HEIGHT times WIDTH of them, row by row, as Bitmap.getPixels gives them: red,
   *     green and blue in the lowest three bytes. A network of gray pictures sees their luma.
   * @return OUTPUTS numbers.
   * @throws IllegalArgumentException if there are more or fewer pixels.
   */
  public synchronized float[] run(int[] pixels) {
    if (pixels.length != HEIGHT * WIDTH) {
      throw new IllegalArgumentException(
          pixels.length + " pixels are not " + WIDTH + " times " + HEIGHT);
    }
    float[] outputs = new float[OUTPUTS];
    if (run(arena, pixels, outputs) != 0) throw new IllegalStateException("it did not run");
    return outputs;
  }

  private static native int size(int what);

  private static native int run(ByteBuffer arena, int[] pixels, float[] outputs);
}
