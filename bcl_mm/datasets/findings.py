"""What a check of a data set finds, as sentences."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Dict, Iterable, List, Optional


@dataclass(frozen=True)
class Finding:
    """A sentence about the data.

    Attributes:
        kind: What findings of its kind have in common, in a few words.
        text: The sentence, without line breaks; names are escaped.
    """

    kind: str
    text: str

    def __str__(self) -> str:
        return self.text


def each_once(findings: Iterable[Finding]) -> List[Finding]:
    """Findings in their order, each once."""
    return list(dict.fromkeys(findings))


def shorten_findings(
    findings: List[Finding], most: Optional[int] = None
) -> List[str]:
    """Lines of the findings, kind by kind.

    Args:
        findings: Any.
        most: Lines of one kind, at most; the rest is counted in another.
            Defaults to None: all.
    """
    total = Counter(finding.kind for finding in findings)
    lines: Dict[str, List[str]] = {kind: [] for kind in total}
    for finding in findings:
        if most is None or len(lines[finding.kind]) < most:
            lines[finding.kind].append(finding.text)
    for kind, shown in lines.items():
        if len(shown) < total[kind]:
            shown.append(f'... and {total[kind] - len(shown):,} more: {kind}')
    return [line for shown in lines.values() for line in shown]
