"""Metrics of a test: accuracy, calibration, and features' geometry."""

from .accuracy import ShotAccuracy
from .base import ShotMetric
from .calibration import CalibrationError, reliability
from .dump import DumpPredictions
from .geometry import SimplexGeometry
from .moments import ClassMoments, neural_collapse, simplex_figures
from .priors import PriorAccuracy, shifted_prior
from .statistics import Difference, difference, holm, prediction_interval

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
    'holm',
    'neural_collapse',
    'prediction_interval',
    'reliability',
    'shifted_prior',
    'simplex_figures',
]
