"""The packages of bcl_mm; everything else is in pyproject.toml."""

from setuptools import find_namespace_packages, find_packages, setup

# configs/ is beside the package in the sources, and inside it in a wheel.
CONFIGS = find_namespace_packages(
    include=['configs', 'configs.*'], exclude=['*.__pycache__']
)

setup(
    packages=find_packages(include=['bcl_mm', 'bcl_mm.*'])
    + [f'bcl_mm.{name}' for name in CONFIGS],
    package_dir={'bcl_mm': 'bcl_mm', 'bcl_mm.configs': 'configs'},
)
