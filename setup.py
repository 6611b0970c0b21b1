"""Package metadata, pins and extras."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "s2bnn_tf" / "__init__.py").read_text())[1]

# The last versions of Larq and of what it stands on: they work together, and none moves any more.
FROZEN = [
    "tensorflow==2.15.1",  # the last with Keras 2
    "larq==0.14.0",
    "larq-zoo==2.4.0",
    "larq-compute-engine==0.16.0",
    "tensorflow-addons==0.23.0",
    "protobuf==3.20.3",  # Larq Zoo
    "tensorflow-datasets==4.6.0",  # Larq Zoo; later ones need a newer protobuf
    "typeguard==2.13.3",  # TensorFlow Addons
    "zookeeper==1.3.3",  # Larq Zoo
    "setuptools<81",  # TensorBoard 2.15 imports pkg_resources
]

setup(
    name="s2bnn_tf",
    version=VERSION,
    description="Self-supervised 1-bit vision encoders in Keras, for small ARM devices",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=[*find_packages(include=["s2bnn_tf", "s2bnn_tf.*"]), "s2bnn_tf.configs"],
    package_dir={"s2bnn_tf.configs": "configs"},  # the recipes, found by s2bnn_tf.recipes
    package_data={
        "s2bnn_tf": ["py.typed"],
        "s2bnn_tf.configs": ["*/*.yaml"],
        "s2bnn_tf.report": ["templates/*"],
        "s2bnn_tf.export": ["bundle_files/*"],
    },
    python_requires=">=3.10,<3.12",
    install_requires=[
        *FROZEN,
        "numpy>=1.23.5,<2",
        "click>=8.1,<8.2",
        "flatbuffers>=23.5.26",
        "Jinja2>=3.1",
        "matplotlib>=3.8",
        "opencv-python-headless>=4.11,<4.12",  # later ones need NumPy 2
        "Pillow>=10.1",
        "PyYAML>=6.0",
        "scikit-learn>=1.3",
        "threadpoolctl>=3.2",
    ],
    extras_require={
        "cuda": ["tensorflow[and-cuda]==2.15.1"],
        "torch": ["torch>=2.1", "safetensors>=0.4"],
        "docs": ["mkdocs>=1.6,<2", "mkdocs-material>=9.5"],
        "dev": ["build", "mypy", "pytest>=8", "ruff", "types-PyYAML", "wheel"],
    },
    entry_points={"console_scripts": ["s2bnn = s2bnn_tf.cli:main"]},
)
