"""Packaging of bcl_mm; the configs travel inside the wheel."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
VERSION = re.search(
    r"__version__ = '(.+)'", (ROOT / 'bcl_mm' / '__init__.py').read_text()
).group(1)
# configs/ is beside the package in the sources, and inside it in a wheel.
CONFIGS = [
    '.'.join(('bcl_mm', *folder.relative_to(ROOT).parts))
    for folder in (ROOT / 'configs', *(ROOT / 'configs').glob('**/'))
    if folder.name != '__pycache__'
]

EXPORT = ['onnx>=1.17', 'onnxruntime>=1.20', 'onnxscript>=0.2']
DOCS = ['furo>=2024.8', 'myst-parser>=4', 'sphinx>=8']

setup(
    name='bcl-mm',
    version=VERSION,
    description='Balanced Contrastive Learning for long-tailed images, '
    'a plugin for MMPretrain',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=find_packages(include=['bcl_mm', 'bcl_mm.*'])
    + sorted(set(CONFIGS)),
    package_dir={'bcl_mm': 'bcl_mm', 'bcl_mm.configs': 'configs'},
    package_data={'bcl_mm': ['py.typed'], 'bcl_mm.report': ['page.*']},
    entry_points=dict(console_scripts=['bcl-mm = bcl_mm.cli.main:main']),
    install_requires=[
        'torch>=2.6',
        'torchvision>=0.21',
        'mmengine>=0.10.7,<1',
        'mmpretrain>=1.2,<2',
        'numpy>=1.26',
        'scipy>=1.11',  # intervals over seeds, the fit of a calibration
        'scikit-learn>=1.3',  # the embedded digits; the report's t-SNE
        'jinja2>=3',  # the report
        'matplotlib>=3.6',
        'imagehash>=4.3',  # near-duplicates in bcl-mm check
    ],
    extras_require={
        # Not required outright: full mmcv owns the same folder.
        'lite': ['mmcv-lite>=2.2,<2.4'],
        # train --log
        'tensorboard': ['tensorboard>=2.14'],
        'wandb': ['wandb>=0.16'],
        'shards': ['webdataset>=1.0'],  # training on a stream
        'timm': ['timm>=1.0'],  # pretrained=timm://NAME
        'export': EXPORT,
        'docs': DOCS,
        # Peers in tools/benchmark.py.
        'benchmark': ['albumentations>=2', 'pytorch-metric-learning>=2.9'],
        'test': [
            *DOCS,
            *EXPORT,
            'hypothesis>=6',
            'ipykernel>=6',  # runs docs/examples.ipynb
            'mypy>=1.15',
            'nbclient>=0.8',
            'playwright>=1.40',  # drives Chromium, where it is installed
            'pytest>=8',
            'pytest-xdist>=3.5',
            'ruff>=0.11',
            'statsmodels>=0.14',  # an oracle of Holm's correction
            'tensorboard>=2.14',
            'timm>=1.0',
            'wandb>=0.16',
            'webdataset>=1.0',
        ],
    },
)
