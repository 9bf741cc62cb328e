# default.py, and the checkpoint of the highest balanced accuracy in
# validation, for bcl-mm predict --select best. Reports and comparisons stay
# with the last epoch.
_base_ = './default.py'
default_hooks = dict(checkpoint=dict(save_best='accuracy/balanced'))
