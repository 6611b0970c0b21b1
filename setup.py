"""Package metadata, pins and extras."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "s2bnn_tf" / "__init__.py").read_text())[1]

setup(
    name="s2bnn_tf",
    version=VERSION,
    description="Self-supervised 1-bit vision encoders in Keras, for small ARM devices",
    long_description=(ROOT / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["s2bnn_tf", "s2bnn_tf.*"]),
    package_data={"s2bnn_tf.evaluation": ["templates/*.j2"]},
    data_files=[
        (f"share/s2bnn_tf/configs/{d.name}", [str(f.relative_to(ROOT)) for f in d.glob("*.yaml")])
        for d in sorted((ROOT / "configs").iterdir())
    ],
    python_requires=">=3.10,<3.12",
    install_requires=[
        "tensorflow==2.15.1",
        "larq==0.14.0",
        "larq-zoo==2.4.0",
        "larq-compute-engine==0.16.0",
        "tensorflow-addons==0.23.0",
        "typeguard==2.13.3",
        "protobuf==3.20.3",
        "zookeeper==1.3.3",
        "numpy>=1.23.5,<2",
        "click>=8.1,<8.2",
        "flatbuffers",
        "Jinja2",
        "matplotlib",
        "Pillow",
        "PyYAML",
        "scikit-learn",
        "threadpoolctl",
    ],
    extras_require={
        "cuda": ["tensorflow[and-cuda]==2.15.1"],
        "torch": ["torch", "safetensors"],
        "docs": ["mkdocs<2", "mkdocs-material"],
        "dev": ["pytest", "ruff", "mypy", "types-PyYAML", "build"],
    },
    entry_points={"console_scripts": ["s2bnn = s2bnn_tf.cli:main"]},
)
