"""Runners of configs."""

import copy

import mmengine.config.config
from mmengine.config import Config

from bcl_mm.apis.runner import formatted_once


def test_a_config_is_formatted_again_only_after_a_change(monkeypatch):
    texts = []

    def format_code(text, **_):
        texts.append(text)
        return text, True

    monkeypatch.setattr(mmengine.config.config, 'FormatCode', format_code)
    original = Config(dict(model=dict(a=1), work_dir='formatted once'))
    cfg = copy.deepcopy(formatted_once(original))
    assert cfg.pretty_text == cfg.pretty_text == original.pretty_text
    assert len(texts) == 2  # one of them the original's
    cfg.model.a = 2
    assert 'a=2' in cfg.pretty_text
    cfg.model.a = 1
    assert cfg.pretty_text == original.pretty_text
