"""The extension module of the package, for setuptools alone; pyproject.toml has the rest."""

from Cython.Build import cythonize
from setuptools import Extension, setup

setup(ext_modules=cythonize([Extension("lfmm2_guest._rows", ["src/lfmm2_guest/_rows.pyx"])]))
