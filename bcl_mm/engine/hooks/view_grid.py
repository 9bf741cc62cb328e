"""A picture of the views that a model trains on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Optional, Sequence, Tuple

import matplotlib
import numpy as np
import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from bcl_mm.classes import class_names_of, name_classes, shorten
from bcl_mm.models.heads import LongTailHead
from bcl_mm.registry import HOOKS
from bcl_mm.utils.errors import check_number
from bcl_mm.utils.files import open_atomically
from bcl_mm.utils.modules import unwrapped

MIN_SIDE, MAX_SIDE = 96, 256  # of an image in the grid, in pixels
GAP, LINE_HEIGHT = 6, 17  # between images, and of a line of text
MAX_NAME_LENGTH = 28  # of a row


def _views_of(inputs: Any) -> Optional[List[Sequence[Tensor]]]:
    """Views of a collated batch, None if it has no images to draw."""
    # Imported here: it loads all of mmpretrain's models.
    from bcl_mm.models.preprocessor import is_multi_view

    if not isinstance(inputs, (Tensor, Sequence)) or not len(inputs):
        return None
    views: List[Any] = list(inputs) if is_multi_view(inputs) else [inputs]
    is_drawable = all(
        torch.is_tensor(image) and image.ndim == 3 and len(image) in (1, 3)
        for view in views
        for image in view
    )
    return views if is_drawable else None


def to_image(image: Tensor, is_bgr: bool) -> Image.Image:
    """An image of a batch, scaled for viewing.

    Args:
        image: (1, H, W) or (3, H, W). Types other than uint8 (normalised by
            the pipeline) are scaled from their minimum and maximum.
        is_bgr: Whether three channels are in BGR order.

    Returns:
        RGB. Sides below 96 pixels are enlarged by an integer factor, each
        pixel becoming a square; sides above 256 are shrunk.
    """
    if image.dtype != torch.uint8:
        image = image.float().nan_to_num()
        low, high = image.min(), image.max()
        image = (image - low) / (high - low).clamp(min=1e-12) * 255
    if is_bgr:
        image = image.flip(0)
    array = image.to('cpu', torch.uint8).expand(3, -1, -1).numpy()
    drawn = Image.fromarray(np.ascontiguousarray(array.transpose(1, 2, 0)))
    factor = -(-MIN_SIDE // min(drawn.size))
    if factor > 1:
        size = drawn.width * factor, drawn.height * factor
        drawn = drawn.resize(size, Image.Resampling.NEAREST)
    drawn.thumbnail((MAX_SIDE, MAX_SIDE))
    return drawn


def draw_grid(
    columns: Sequence[Sequence[Image.Image]],
    column_names: Sequence[str],
    row_names: Sequence[str],
) -> Image.Image:
    """Images in rows and columns, with names on the left and on top.

    Args:
        columns: Images of each column, one per row.
        column_names: Names of the columns, which may have several lines.
        row_names: Names of the rows.
    """
    # It covers more scripts than PIL's font; matplotlib comes with mmengine.
    fonts = Path(matplotlib.get_data_path()) / 'fonts' / 'ttf'
    font = ImageFont.truetype(str(fonts / 'DejaVuSans.ttf'), 13)
    images = [image for column in columns for image in column]
    lines = [line for name in column_names for line in name.splitlines()]
    lengths = [round(font.getlength(line)) for line in lines]
    width = GAP + max(*lengths, *(image.width for image in images))
    height = GAP + max(image.height for image in images)
    left = 2 * GAP + max(round(font.getlength(name)) for name in row_names)
    top = 2 * GAP + LINE_HEIGHT * max(n.count('\n') + 1 for n in column_names)
    size = left + width * len(columns), top + height * len(row_names)
    canvas = Image.new('RGB', size, 'white')
    draw = ImageDraw.Draw(canvas)
    for x, (name, column) in enumerate(zip(column_names, columns)):
        draw.text((left + x * width, GAP), name, 'black', font)
        for y, image in enumerate(column):
            canvas.paste(image, (left + x * width, top + y * height))
    for y, name in enumerate(row_names):
        middle = top + y * height + (height - GAP - LINE_HEIGHT) // 2
        draw.text((GAP, middle), name, 'black', font)
    return canvas


@HOOKS.register_module()
class ViewGridHook(Hook):
    """Draws the training views, to make wrong augmentations visible.

    Before the first iteration it writes ``views.png`` into the work dir: a
    row for each of the first images of the batch, with its class, and a
    column for each view, before normalisation. The picture also goes to the
    visualizer, for TensorBoard and Weights & Biases. A resumed training keeps
    an existing picture.

    Images are taken for BGR if the model's preprocessor has ``to_rgb``, else
    for RGB. Mixup and CutMix run later, in the preprocessor, and do not show.

    The hook draws no random numbers and does not affect training. A batch
    without images of one or three channels, or a file that cannot be written,
    causes a warning. So do views that the head does not use, with or without
    a picture.

    Args:
        num_images: Number of images; 0 disables the picture. Defaults to 8.

    Raises:
        InputTypeError: ``num_images`` is not an integer.
        InputValueError: ``num_images < 0``.
    """

    def __init__(self, num_images: int = 8) -> None:
        check_number('num_images', num_images, at_least=0, whole=True)
        self.num_images = num_images
        self._is_due = True

    def before_train(self, runner: Runner) -> None:
        """Decide whether to draw a picture."""
        path = Path(runner.work_dir) / 'views.png'
        self._is_due = runner.iter == 0 or not path.is_file()

    @master_only
    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Draw the first batch."""
        if not self._is_due:
            return
        self._is_due = False
        batch = data_batch if isinstance(data_batch, dict) else {}
        views = _views_of(batch.get('inputs'))
        roles: Tuple[str, ...] = ()
        if views is not None:
            model = unwrapped(runner.model)
            roles = _roles(getattr(model, 'head', None), len(views))
            if 'unused' in roles:
                runner.logger.warning(
                    f'The pipeline makes {len(views)} views of each image, '
                    'and the head uses one: a pipeline of one view '
                    '(one_view) saves time, and a contrastive method needs a '
                    'branch'
                )
        if self.num_images == 0:
            return
        if views is None:
            runner.logger.warning(
                'views.png is omitted: the batch has no "inputs" of one or '
                'three channels'
            )
            return
        grid = self._draw(runner, batch, views, roles)
        try:
            path = Path(runner.work_dir) / 'views.png'
            with open_atomically(path, 'wb') as file:
                grid.save(file, 'PNG')
            runner.visualizer.add_image('views', np.asarray(grid), runner.iter)
        except OSError as error:
            runner.logger.warning(f'views.png could not be written: {error}')

    def _draw(
        self,
        runner: Runner,
        batch: dict,
        views: List[Sequence[Tensor]],
        roles: Sequence[str],
    ) -> Image.Image:
        model, shown = unwrapped(runner.model), slice(self.num_images)
        preprocessor = getattr(model, 'data_preprocessor', None)
        is_bgr = bool(getattr(preprocessor, 'to_rgb', False))
        columns = [
            [to_image(i, is_bgr) for i in view[shown]] for view in views
        ]
        names = [f'view {i}\n{role}' for i, role in enumerate(roles)]
        preset = runner.cfg.get('augmentation')
        if preset:
            names = [f'{name}\n{preset}' for name in names]
        class_names = class_names_of(runner.train_dataloader.dataset)
        samples = batch.get('data_samples') or [None] * len(views[0])
        rows = [_row_name(sample, class_names) for sample in samples[shown]]
        return draw_grid(columns, names, rows)


def _roles(head: object, num_views: int) -> Tuple[str, ...]:
    """How a LongTailHead uses the views; empty for other heads."""
    if not isinstance(head, LongTailHead):
        return ('',) * num_views
    if head.classify_all_views:
        return ('classified',) * num_views
    others = 'contrastive' if head.branches else 'unused'
    return ('classified', *[others] * (num_views - 1))


def _row_name(sample: Any, class_names: Optional[Sequence[str]]) -> str:
    label = getattr(sample, 'gt_label', None)
    if not torch.is_tensor(label) or label.numel() != 1:
        return ''
    name = 'class ' + name_classes([int(label)], class_names)
    return shorten(name, MAX_NAME_LENGTH)
