"""A check of a whole config, before anything in it is built."""

from __future__ import annotations

import difflib
import inspect
from importlib import import_module
from typing import Any, Collection, Dict, Iterable, List, Optional, Tuple

import torch
from mmengine import registry as root
from mmengine.evaluator import Evaluator
from mmengine.registry import DefaultScope
from mmengine.runner import (
    EpochBasedTrainLoop,
    IterBasedTrainLoop,
    LogProcessor,
    Runner,
    TestLoop,
    ValLoop,
)
from torch.utils.data import DataLoader

from bcl_mm.apis.arguments import Arguments, arguments_of
from bcl_mm.apis.components import (
    PREPROCESSOR,
    ComponentCheck,
    Path,
    dotted,
)
from bcl_mm.apis.log_backends import check_log_level
from bcl_mm.utils.errors import (
    InputError,
    InputValueError,
    check_number,
    shown,
)

# Options that apply to all data sets that have them: splits by different
# values would share images.
OF_ALL_DATASETS = (
    *('data_root', 'data_prefix', 'val_fraction', 'split_seed'),
    *('path_column', 'label_column', 'split_column', 'group_column'),
    *('group_regex', 'group_by_folder', 'min_images', 'ignore_classes'),
    'exclude',
)
# Top-level keys that MMEngine's runner or this package reads.
TOP = {
    *OF_ALL_DATASETS,
    *inspect.signature(Runner).parameters,
    *('activation_checkpointing', 'applied_augmentation', 'augmentation'),
    *('channels_last', 'compile', 'precision'),
    *('custom_imports', 'data_hint', 'efficient_conv_bn_eval'),
    *('find_unused_parameters', 'first_stage', 'is_trained', 'local_rank'),
    *('method_name', 'model_wrapper_cfg', 'pretrained', 'runner_type'),
    *('strategy', 'sync_bn', 'tta_model', 'tta_pipeline'),
}
# Dicts of settings without a type: their keys, beside those of a function.
_SETTINGS = {
    'auto_scale_lr': (None, 'base_batch_size enable'),
    'compile': (torch.compile, 'target'),
    'env_cfg': (None, 'cudnn_benchmark mp_cfg dist_cfg resource_limit'),
    'env_cfg.mp_cfg': (None, 'mp_start_method opencv_num_threads'),
    'optim_wrapper.clip_grad': (
        torch.nn.utils.clip_grad_norm_,
        'type clip_value',
    ),
    'optim_wrapper.paramwise_cfg': (
        None,
        'bias_decay_mult bias_lr_mult bypass_duplicate custom_keys '
        'dcn_offset_lr_mult dwconv_decay_mult flat_decay_mult norm_decay_mult',
    ),
    'randomness': (Runner.set_randomness, ''),
}
# Top-level components: the registry, and the class of a dict without a type.
_COMPONENTS = dict(
    data_preprocessor=(root.MODELS, PREPROCESSOR),
    log_processor=(root.LOG_PROCESSORS, LogProcessor),
    model=(root.MODELS, None),
    test_cfg=(root.LOOPS, TestLoop),
    tta_model=(root.MODELS, None),
    val_cfg=(root.LOOPS, ValLoop),
    visualizer=(root.VISUALIZERS, 'Visualizer'),
)
_OF_LOADERS = (
    *('dataset', 'disable_subprocess_warning', 'num_batch_per_epoch'),
    'type',  # which MMEngine ignores
)
# Top-level settings that MMEngine's runner cannot have as None.
_NEVER_NONE = 'data_preprocessor', 'env_cfg', 'randomness', 'work_dir'
_GIVEN_TO_LOOPS = ('runner', 'dataloader', 'evaluator')


class _ConfigCheck(ComponentCheck):
    """The walk over a whole config."""

    def top(self, key: str, value: Any) -> None:
        """Check a top-level setting."""
        path = (key,)
        if value is None and key in _NEVER_NONE:
            self.problem(path, f'{key} must not be None: leave it out')
        if value is None and key != 'model':
            return
        if key in _COMPONENTS:
            registry, default = _COMPONENTS[key]
            hidden = _GIVEN_TO_LOOPS if registry is root.LOOPS else ()
            self.component(path, value, registry, default, hidden=hidden)
        elif key == 'train_cfg':
            self.train_loop(path, value)
        elif key == 'default_hooks':
            self.default_hooks(path, value)
        elif key == 'custom_hooks':
            self.custom_hooks(path, value)
        elif key == 'optim_wrapper':
            self.optimizer(path, value)
        elif key == 'param_scheduler':
            self.schedulers(path, value)
        elif key in TOP and key.endswith('_dataloader'):
            self.loader(path, value)
        elif key in TOP and key.endswith('_evaluator'):
            self.evaluator(path, value)
        self.settings(path, value)

    def settings(self, path: Path, value: Any) -> None:
        """Check dicts without a type."""
        if not isinstance(value, dict):
            return
        if dotted(path) in _SETTINGS:
            function, names = _SETTINGS[dotted(path)]
            known = Arguments(frozenset(), False)
            if function is not None:
                known = arguments_of(function)
            self.keys(path, value, known, names.split())
        if path == ('randomness',) and value.get('seed') is not None:
            rule = dict(at_least=0, below=2**32, whole=True)
            self.number((*path, 'seed'), value['seed'], **rule)
        for key, inner in value.items() if len(path) == 1 else ():
            if key != 'paramwise_cfg' or 'constructor' not in value:
                self.settings((*path, key), inner)

    def loader(self, path: Path, config: Any) -> None:
        """Check a data loader."""
        if not self.is_dict(path, config):
            return
        self.keys(path, config, arguments_of(DataLoader), _OF_LOADERS)
        for name in ('dataset', 'sampler', 'batch_size'):
            if name not in config and 'batch_sampler' not in config:
                self.lacks(path, name)
        if 'batch_size' in config:
            self.number((*path, 'batch_size'), config['batch_size'])
        for name, registry in (
            ('dataset', root.DATASETS),
            ('sampler', root.DATA_SAMPLERS),
            ('batch_sampler', root.DATA_SAMPLERS),
            ('collate_fn', root.FUNCTIONS),
        ):
            inner = config.get(name, {})
            if name == 'dataset' or inner:
                self.component((*path, name), inner, registry)

    def train_loop(self, path: Path, config: Any) -> None:
        """Check train_cfg."""
        if not self.is_dict(path, config):
            return
        default = None
        more: Tuple[str, ...] = ()
        if 'type' not in config:
            more = ('by_epoch',)
            by_epoch = config.get('by_epoch', True)
            default = EpochBasedTrainLoop if by_epoch else IterBasedTrainLoop
            needed = 'max_epochs' if by_epoch else 'max_iters'
            for name in ('by_epoch', needed):
                if name not in config:
                    self.lacks(path, name)
        for name in ('max_epochs', 'max_iters', 'val_interval'):
            if name in config:
                self.number((*path, name), config[name])
        hidden = _GIVEN_TO_LOOPS
        self.component(path, config, root.LOOPS, default, more, hidden)

    def number(self, path: Path, value: Any, **rule: Any) -> None:
        """Check a number, by default a whole one >= 1."""
        rule = rule or dict(at_least=1, whole=True)
        try:
            check_number(dotted(path), value, **rule)
        except InputError as error:
            self.problem(path, str(error))

    def evaluator(self, path: Path, config: Any) -> None:
        """Check the metrics of an evaluator."""
        if isinstance(config, dict) and 'metrics' in config:
            self.component(path, config, root.EVALUATOR, Evaluator)
            path, config = (*path, 'metrics'), config['metrics']
        if isinstance(config, (list, tuple)):
            for i, metric in enumerate(config):
                self.component((*path, str(i)), metric, root.METRICS)
        else:
            self.component(path, config, root.METRICS)

    def default_hooks(self, path: Path, config: Any) -> None:
        """Check default_hooks, which may be None each."""
        if not self.is_dict(path, config):
            return
        self.checked.add(path)
        for name, hook in config.items():
            if isinstance(hook, dict) and 'type' not in hook:
                of = ' (which has no type of a hook)'
                self.unknown((*path, name), of, set(config) - {name})
            elif hook is not None:
                self.hook((*path, name), hook)

    def custom_hooks(self, path: Path, config: Any) -> None:
        """Check custom_hooks, a list."""
        if isinstance(config, (list, tuple)):
            for i, hook in enumerate(config):
                self.hook((*path, str(i)), hook)
        else:
            self.problem(
                path,
                f'{dotted(path)} must be a list, [dict(type=...), ...], got '
                f'{shown(config)}',
            )

    def hook(self, path: Path, config: Any) -> None:
        """Check a hook, whose priority MMEngine takes."""
        self.component(path, config, root.HOOKS, more=('priority',))

    def optimizer(self, path: Path, config: Any) -> None:
        """Check optim_wrapper."""
        if not self.is_dict(path, config):
            return
        if 'optimizer' in config:
            optimizer = config['optimizer']
            inner = (*path, 'optimizer')
            if self.is_dict(inner, optimizer) and 'lr' in optimizer:
                self.number((*inner, 'lr'), optimizer['lr'], at_least=0)
        elif 'constructor' in config:  # of several optimizers
            return
        else:
            self.lacks(path, 'optimizer')
        more = 'constructor', 'paramwise_cfg', 'clip_grad'
        wrapper = 'OptimWrapper'
        self.component(path, config, root.OPTIM_WRAPPERS, wrapper, more)

    def schedulers(self, path: Path, config: Any) -> None:
        """Check param_scheduler: a dict, a list, or a dict of lists."""
        if isinstance(config, (list, tuple)):
            for i, value in enumerate(config):
                self.schedulers((*path, str(i)), value)
        elif isinstance(config, dict) and 'type' not in config:
            for key, value in config.items():
                self.schedulers((*path, key), value)
        else:
            more = ('convert_to_iter_based',)
            self.component(path, config, root.PARAM_SCHEDULERS, more=more)


def _check_scope(scope: Any) -> None:
    known = {'mmengine', *root.MODELS.children, *root.HOOKS.children}
    if scope in known or scope is None:
        return
    try:
        import_module(f'{scope}.registry')
    except (ImportError, TypeError):
        near = difflib.get_close_matches(str(scope), known, 1)
        raise InputValueError(
            f'default_scope {scope!r} is not the name of an OpenMMLab package '
            'that is installed: '
            + (f'is {near[0]} meant?' if near else "use 'mmpretrain'")
        ) from None


def check_config(
    cfg: Any,
    new: Collection[Path] = (),
    allowed: Collection[Path] = (),
    whole: bool = False,
) -> None:
    """Refuse settings that nothing reads, and types that do not exist.

    Args:
        cfg: The merged config.
        new: Paths of the keys that the command line added.
        allowed: Those of them that are new on purpose.
        whole: Whether a Runner is built from it: then what that needs must be
            there. Defaults to False.

    Raises:
        InputValueError: There is one; the message names it with its full
            path, and the nearest that there is.
    """
    scope = cfg.get('default_scope', 'mmpretrain')
    _check_scope(scope)
    check_log_level(cfg.get('log_level', 'INFO'))
    check = _ConfigCheck(allowed)
    with DefaultScope.overwrite_default_scope(scope):
        for key in cfg:
            check.top(key, cfg[key])
    known = {*TOP, *cfg} - {path[0] for path in new if len(path) == 1}
    for path in new:
        parent = _part(cfg, path[:-1])
        if len(path) == 1:
            if path[0] not in TOP:
                check.unknown(path, '', known)
        elif path[:-1] not in check.checked and isinstance(parent, dict):
            value = parent.get(path[-1])
            if not (isinstance(value, dict) and 'type' in value):
                check.unknown(path, '', set(parent) - {path[-1]})
    if whole:
        for path, lack in {**check.missing, **_missing_parts(cfg)}.items():
            check.problem(path, lack)
    if check.problems:
        first, *others = check.problems.items()
        path, message = first
        if any(path[: len(key)] == key for key in new):
            message += (
                f' (to add a new setting, --cfg-options +{dotted(path)}=...)'
            )
        if others:
            message += f'; {len(others)} more: ' + ', '.join(
                dotted(path) for path, _ in others[:5]
            )
        raise InputValueError(message)


def _missing_parts(cfg: Any) -> Dict[Path, str]:
    """Top-level settings without those that go with them."""
    missing: Dict[Path, str] = {}
    if 'model' not in cfg:
        missing['model',] = 'the config has no model'
    for trio in (
        ('train_dataloader', 'train_cfg', 'optim_wrapper'),
        ('val_dataloader', 'val_cfg', 'val_evaluator'),
        ('test_dataloader', 'test_cfg', 'test_evaluator'),
    ):
        there = [name for name in trio if cfg.get(name) is not None]
        gone = [name for name in trio if name not in there]
        if there and gone:
            missing[(gone[0],)] = (
                f'{" and ".join(there)} need {" and ".join(gone)}, too: give '
                'all three, or set all three to None'
            )
    sizes = [
        part.get('num_classes') if isinstance(part, dict) else None
        for part in (
            _part(cfg, ('model', 'head')),
            cfg.get('data_preprocessor'),
        )
    ]
    if all(isinstance(size, int) for size in sizes) and sizes[0] != sizes[1]:
        missing['data_preprocessor', 'num_classes'] = (
            'data_preprocessor.num_classes must be model.head.num_classes='
            f'{sizes[0]}, got {sizes[1]}'
        )
    return missing


def new_paths(cfg: Any, names: Iterable[str]) -> List[Path]:
    """Paths up to the new key, of the dotted names that a config lacks."""
    found = []
    for name in names:
        keys = tuple(name.split('.'))
        for length in range(len(keys)):
            parent = _part(cfg, keys[:length])
            if isinstance(parent, dict) and keys[length] not in parent:
                found.append(keys[: length + 1])
                break
    return found


def resembling(cfg: Any) -> List[Tuple[str, str]]:
    """Variables of a config that resemble a setting, with this setting.

    A variable is legal: configs keep pipelines in them.
    """
    pairs = []
    for name in set(cfg) - TOP:
        if not name.endswith('_pipeline'):
            near = difflib.get_close_matches(name, TOP, 1, 0.85)
            pairs += [(name, meant) for meant in near]
    return sorted(pairs)


def _part(cfg: Any, path: Path) -> Optional[Any]:
    part: Any = dict(cfg)
    for key in path:
        if isinstance(part, (list, tuple)) and key.isdecimal():
            part = part[int(key)] if int(key) < len(part) else None
        else:
            part = part.get(key) if isinstance(part, dict) else None
    return part
