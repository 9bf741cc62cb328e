import pytest

from tests.engine.hooks.common import make


def test_too_small_for_one_batch(tmp_path):
    runner = make(tmp_path)
    runner._train_dataloader.update(batch_size=400, drop_last=True)
    message = 'has 331 images, too few for one batch of 400 on each of 1 proc'
    with pytest.raises(ValueError, match=message):
        runner.train()


def test_losses_learn_how_far_training_is(tmp_path, monkeypatch):
    progress = []
    monkeypatch.setattr(
        'bcl_mm.models.losses.LDAMLoss.set_progress',
        lambda loss, value: progress.append(value),
    )
    runner = make(tmp_path, head=dict(loss_cls=dict(type='bcl_mm.LDAMLoss')))
    runner.train()
    assert progress == [i / 8 for i in range(8)]  # 2 epochs of 4 iterations
