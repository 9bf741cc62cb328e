"""Groups: images that must not be divided, such as those of a patient."""

from __future__ import annotations

import os.path as osp
import re
from typing import List, NamedTuple, Optional, Sequence, Tuple

from bcl_mm.classes import printable
from bcl_mm.datasets.csv_lists import Entry
from bcl_mm.utils.errors import (
    InputValueError,
    check_flag,
    check_regex,
    counted,
)


class GroupRule(NamedTuple):
    """What tells the group of an image; at most one of these.

    Attributes:
        column: Name of a list's column.
        regex: Expression that is searched for in the path of an image: the
            list's, or that below the folder of the class folders. Its first
            group, or else all that it matches, is the group.
        by_folder: Whether it is the sub-folder of a class folder or, in a
            list, the folder of the image.
    """

    column: Optional[str] = None
    regex: Optional[str] = None
    by_folder: bool = False

    def check(self) -> None:
        """Raise an InputError unless at most one is given, and right."""
        check_regex('group_regex', self.regex)
        check_flag('group_by_folder', self.by_folder)
        if sum(map(bool, self)) > 1:
            raise InputValueError(
                'groups must be given by one of group_column, group_regex '
                f'and group_by_folder, got {" and ".join(self.options)}'
            )

    @property
    def options(self) -> List[str]:
        """The options of a data set that are set."""
        values = self._asdict().items()
        return [f'group_{name}' for name, value in values if value]

    def groups_of(
        self, entries: Sequence[Entry], source: str
    ) -> Tuple[List[str], List[str]]:
        """Find the group of each image.

        Args:
            entries: The images.
            source: Path of their list or tree, for messages.

        Returns:
            N groups, empty for an image without one; and sentences on them,
            none without a rule.

        Raises:
            InputValueError: No image has a group.
        """
        if not any(self):
            return [''] * len(entries), []
        groups = [self._group_of(entry) for entry in entries]
        number = len(set(groups) - {''})
        option = self.options[0]
        if not number:
            raise InputValueError(
                f'{source}: {option} gives no image a group, for example '
                f'{printable(entries[0].path)}: change it or leave it out'
            )
        note = f'{source}: {option} finds {counted(number, "group")}'
        alone = groups.count('')
        if alone:
            example = entries[groups.index('')].path
            note += (
                '; each image without one is a group of its own: '
                f'{alone:,}, such as {printable(example)}'
            )
        return groups, [note]

    def _group_of(self, entry: Entry) -> str:
        if self.column:
            return entry.group
        if self.regex:
            match = re.search(self.regex, entry.path)
            return (match[min(1, match.re.groups)] or '') if match else ''
        if entry.line:
            return osp.dirname(entry.path)
        folders = entry.path.split('/')[1:-1]
        return folders[0] if folders else ''
