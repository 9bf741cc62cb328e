import pickle

import torch

from bcl_mm.evaluation import DumpPredictions


def test_a_prediction_does_not_take_its_batch_along(tmp_path):
    scores = torch.rand(1000, 10).softmax(1)
    labels = torch.arange(1000)
    path = tmp_path / 'all.pkl'
    metric = DumpPredictions(str(path))
    for start in range(0, 1000, 500):  # two batches of 500
        metric.process(
            {},
            [
                dict(pred_score=row, gt_label=label, img_shape=(8, 8))
                for row, label in zip(
                    scores[start : start + 500],
                    labels[start : start + 500].split(1),
                )
            ],
        )
    assert metric.evaluate(1000) == {}
    kept = pickle.loads(path.read_bytes())
    assert torch.equal(
        torch.stack([one['pred_score'] for one in kept]), scores
    )
    assert torch.equal(torch.cat([one['gt_label'] for one in kept]), labels)
    assert kept[0]['img_shape'] == (8, 8)
    assert path.stat().st_size < 1000 * 1500  # a batch of scores: 20,000
