"""A network as a page of static files, which runs in browsers as WebAssembly."""

from s2bnn_tf.export.web.write import export_web

__all__ = ["export_web"]
