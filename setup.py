"""The packages to install; all other metadata is in pyproject.toml."""

from setuptools import find_packages, setup

# The recipes live in configs/ and are installed as s2bnn_tf.configs, where s2bnn_tf.recipes finds
# them. The declarative configuration cannot combine such a package with a search.
setup(
    packages=[*find_packages(include=["s2bnn_tf", "s2bnn_tf.*"]), "s2bnn_tf.configs"],
    package_dir={"s2bnn_tf.configs": "configs"},
)
