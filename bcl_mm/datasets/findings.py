"""What a check of a data set finds, as sentences."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Dict, List, NamedTuple, Optional


class Finding(NamedTuple):
    """A sentence about the data.

    Attributes:
        kind: What findings of its kind have in common, in a few words.
        text: The sentence, without line breaks; names are escaped.
    """

    kind: str
    text: str

    def __str__(self) -> str:
        return self.text


class Exclusion(NamedTuple):
    """An image that training should do without.

    Attributes:
        path: Its absolute path.
        class_name: Its class.
        split: ``'train'``, ``'val'`` or ``'test'``.
        reason: Why, in a few words.
        partner: Path of the image that it contradicts or repeats; may be
            empty.
    """

    path: str
    class_name: str
    split: str
    reason: str
    partner: str = ''


@dataclass
class Findings:
    """All that was found.

    Attributes:
        problems: What must be repaired before training.
        warnings: What should be looked at.
        notes: What is good to know.
        exclusions: Images without which some of the problems are gone.
    """

    problems: List[Finding] = field(default_factory=list)
    warnings: List[Finding] = field(default_factory=list)
    notes: List[Finding] = field(default_factory=list)
    exclusions: List[Exclusion] = field(default_factory=list)

    def add(self, other: Findings) -> None:
        """Add other findings, each once."""
        for name in ('problems', 'warnings', 'notes', 'exclusions'):
            both = [*getattr(self, name), *getattr(other, name)]
            setattr(self, name, list(dict.fromkeys(both)))

    def describe(self, most: Optional[int] = 10, where: str = '--all') -> str:
        """All sentences as text, under titles.

        Args:
            most: Sentences of one kind that are written out. Defaults to 10;
                None: all.
            where: What lists the others. Defaults to ``'--all'``.
        """
        blocks = []
        for title in ('notes', 'warnings', 'problems'):
            findings = getattr(self, title)
            if findings:
                title = f'{title.capitalize()} ({len(findings):,}):'
                blocks.append(
                    '\n'.join([title, *_shorten(findings, most, where)])
                )
        if not self.problems:
            blocks.append('No problems.')
        return '\n\n'.join(blocks)


def _shorten(
    findings: List[Finding], most: Optional[int], where: str
) -> List[str]:
    """Lines of the findings, kind by kind, and how many are left out."""
    total = Counter(finding.kind for finding in findings)
    lines: Dict[str, List[str]] = {kind: [] for kind in total}
    for finding in findings:
        if most is None or len(lines[finding.kind]) < most:
            lines[finding.kind].append(finding.text)
    for kind, shown in lines.items():
        if len(shown) < total[kind]:
            left = total[kind] - len(shown)
            shown.append(f'... and {left:,} more ({kind}); {where} lists them')
    return [line for shown in lines.values() for line in shown]
