package org.tensorflow.lite;

/** The interface of TFLite's Java library, which no registry for Linux brings. */
public interface Delegate extends java.io.Closeable {
  long getNativeHandle();

  @Override
  default void close() {}
}
