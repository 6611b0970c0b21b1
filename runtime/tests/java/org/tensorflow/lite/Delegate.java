package org.tensorflow.lite;

/** The interface from TFLite's Java library, which no registry has for Linux. */
public interface Delegate extends java.io.Closeable {
  long getNativeHandle();

  @Override
  default void close() {}
}
