"""Hands settings.ini, where the metadata lives, to setuptools."""

from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

parser = ConfigParser()
parser.read("settings.ini", encoding="utf-8")
cfg = parser["DEFAULT"]
readme = Path("README.md")
TRIED = ("eval", "parquet", "onnx", "gguf", "dask", "nvml", "discovery")  # extras that the tests need too

setup(
    name=cfg["lib_name"],
    version=cfg["version"],
    description=cfg["description"],
    long_description=readme.read_text(encoding="utf-8") if readme.exists() else cfg["description"],
    long_description_content_type="text/markdown",
    author=cfg["author"],
    url=cfg["git_url"],
    project_urls={"Documentation": cfg["doc_host"] + cfg["doc_baseurl"]},
    keywords=cfg["keywords"],
    license_expression={"apache2": "Apache-2.0"}[cfg["license"]],
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Framework :: Jupyter",
        f"Intended Audience :: {cfg['audience']}",
        f"Natural Language :: {cfg['language']}",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    packages=[*find_packages(include=["lts_nb*"]), "lts_nb.show.static"],  # a folder of files that could be a package
    include_package_data=True,
    python_requires=f">={cfg['min_python']}",
    install_requires=cfg["requirements"].split(),
    extras_require={
        "dev": [need for kind in ("dev", *TRIED) for need in cfg[f"{kind}_requirements"].split()],
        **{extra: cfg[f"{extra}_requirements"].split() for extra in (*TRIED, "llama", "benchmarks")},
    },
    entry_points={"console_scripts": cfg["console_scripts"].split()},
)
