"""Metrics of a test: accuracy, calibration, and features' geometry."""

from .accuracy import ShotAccuracy
from .base import ShotMetric
from .calibration import CalibrationError, reliability
from .dump import DumpPredictions
from .geometry import SimplexGeometry
from .moments import ClassMoments, neural_collapse, simplex_figures
from .priors import PriorAccuracy, shifted_prior
from .statistics import Difference, difference

__all__ = [
    'CalibrationError',
    'ClassMoments',
    'Difference',
    'DumpPredictions',
    'PriorAccuracy',
    'ShotAccuracy',
    'ShotMetric',
    'SimplexGeometry',
    'difference',
    'neural_collapse',
    'reliability',
    'shifted_prior',
    'simplex_figures',
]
