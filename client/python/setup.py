"""Generates the stubs before setuptools collects the package."""

import pathlib
import runpy

from setuptools import setup

runpy.run_path(str(pathlib.Path(__file__).parent / "generate.py"))["main"]()
setup()
