"""A config with one other setting."""

import copy

from mmengine.config import Config

import bcl_mm

DIGITS = Config.fromfile(bcl_mm.config_path('bcl_resnet8_digits_lt'))


def changed(key, value):
    """The config of the digits with another value of a key."""
    cfg = copy.deepcopy(DIGITS)
    *path, name = key.split('.')
    part = cfg
    for step in path:
        part = part[int(step) if step.isdecimal() else step]
    if value is DELETE:
        part.pop(name)
    else:
        part[int(name) if name.isdecimal() else name] = value
    return cfg


DELETE = object()
