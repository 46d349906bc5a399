"""Packaging of irisspark; submit.sh and tests/run read the requirements from here too."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent

REQUIREMENTS = [
    "elephas==7.3.0",
    "h5py==3.11.0",  # elephas pins it
    "jinja2>=3.1,<4",
    # Earlier ones have known holes in model loading; later ones are to pass tests/next_keras first.
    "keras>=3.15,<3.16",
    "matplotlib>=3.8,<4",
    "numpy<2",  # elephas and tensorflow<2.20
    "pandas",
    "pyarrow<25",  # 25 wants numpy 2
    "pyspark>=3.5,<=4.0.0",  # elephas pins the upper end
    "tensorflow<2.20",  # elephas pins it
    "tqdm>=4.66,<5",
]

HDFS_REQUIREMENTS = ["hdfs-native>=0.14,<0.15"]  # with which workers read and write on HDFS
MLFLOW_REQUIREMENTS = ["mlflow>=3,<4"]  # for -mlflow, on the driver

TEST_REQUIREMENTS = [
    *HDFS_REQUIREMENTS,
    *MLFLOW_REQUIREMENTS,
    "hypothesis",
    "jsonschema",
    "moto[server]",
    "mypy",
    "ipykernel",  # executes the sample notebook, with the next two
    "nbclient",
    "nbformat",
    "pytest",
    "ruff",
    "scikit-learn",
    "selenium",  # opens report.html in Debian's chromium
]


def read_version() -> str:
    """Give the package's version without importing the package."""
    text = (ROOT / "irisspark" / "__init__.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)[1]


def read_readme() -> str:
    """Give the long description; empty where there is no README."""
    readme = ROOT / "README.md"
    return readme.read_text(encoding="utf-8") if readme.is_file() else ""


if __name__ == "__main__":
    from setuptools import find_packages, setup

    setup(
        name="irisspark",
        version=read_version(),
        description="Evaluate and train Keras models on CSV files over a Spark cluster",
        long_description=read_readme(),
        long_description_content_type="text/markdown",
        license="Apache-2.0",
        packages=find_packages(include=["irisspark", "irisspark.*"]),
        package_data={
            "irisspark.bundle": ["launcher/**/*.java", "launcher/*.java"],
            "irisspark.report": ["page.css", "page.html", "page.js"],
            "irisspark.storage": ["*.java"],
            "irisspark.samples": ["iris.txt"],
        },
        python_requires=">=3.11,<3.13",
        install_requires=REQUIREMENTS,
        extras_require={
            "hdfs": HDFS_REQUIREMENTS,
            "mlflow": MLFLOW_REQUIREMENTS,
            "test": TEST_REQUIREMENTS,
        },
        entry_points={"console_scripts": ["irisspark-bundle=irisspark.bundle.packing:main"]},
        classifiers=[
            "Operating System :: MacOS",
            "Operating System :: POSIX :: Linux",
            "Programming Language :: Python :: 3.11",
            "Programming Language :: Python :: 3.12",
        ],
    )
