"""One picture per image, whatever its name."""

import torch
from mmpretrain.structures import DataSample
from mmpretrain.visualization import UniversalVisualizer

from bcl_mm.engine.hooks import PredictionImagesHook


def test_images_of_one_name_have_pictures_of_their_own(tmp_path):
    UniversalVisualizer.get_instance('pictures')
    hook = PredictionImagesHook(enable=True, interval=1, out_dir=tmp_path)
    drawn = []
    hook._visualizer.visualize_cls = lambda **given: drawn.append(given)
    paths = ['/x/a/1.png', '/x/b/1.png', '/y/a/1.png', None]
    samples = [
        DataSample(metainfo=dict(img_path=path) if path else {})
        for path in paths
    ]
    images = torch.zeros(4, 3, 2, 2)
    hook.after_test_iter(None, 0, dict(inputs=images), samples)
    names = [given['name'] for given in drawn]
    assert names == ['a_1.png', 'b_1.png', '2_a_1.png', '3']
    files = [given['out_file'] for given in drawn]
    assert len(set(files)) == 4
    assert samples[0].img_path == '/x/a/1.png'  # metrics may read it
