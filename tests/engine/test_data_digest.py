"""Which images a training set has, and in which order."""

from types import SimpleNamespace

import numpy as np

from bcl_mm.engine.data_digest import data_digest


class Listed(list):
    """A data set of samples as MMEngine describes them."""

    def get_data_info(self, index):
        return self[index]


def samples(root='/a', number=1000):
    return Listed(
        dict(img_path=f'{root}/x/{i}.png', gt_label=i % 3)
        for i in range(number)
    )


def test_moved_data_are_the_same():
    assert data_digest(samples('/a')) == data_digest(samples('/b/c'))


def test_other_images_labels_order_or_numbers_differ():
    own = data_digest(samples())
    relabelled, renamed = samples(), samples()
    for sample in relabelled:
        sample['gt_label'] = (sample['gt_label'] + 1) % 3
    for sample in renamed:
        sample['img_path'] += 'x'
    others = [samples(number=999), Listed(samples()[::-1])]
    others += [relabelled, renamed]
    digests = {data_digest(other) for other in others}
    assert len(digests) == 4 and own not in digests


def test_images_in_memory_count():
    images = np.arange(12).reshape(3, 2, 2)
    first, second = (
        Listed(dict(img=image, gt_label=0) for image in chosen)
        for chosen in (images, images[::-1])
    )
    assert data_digest(first) == data_digest(Listed(first))
    assert data_digest(first) != data_digest(second)


def test_streams_have_none():
    assert data_digest(SimpleNamespace()) is None
