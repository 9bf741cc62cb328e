"""What is wrong with a data set: raised at once, or collected."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Dict, Iterator, List, Type

from bcl_mm.utils.errors import InputError, InputValueError

_MOST = 10  # sentences of one error


class Problems:
    """What a reader finds wrong and can step over.

    A reader reports it here and goes on with what is right. In training a
    report is an error. The check of the data collects all reports.

    Args:
        collect: Whether to collect what is added, instead of raising it.
            Defaults to False.
    """

    def __init__(self, collect: bool = False) -> None:
        self.collect = collect
        self._found: Dict[str, None] = {}

    @property
    def found(self) -> List[str]:
        """What was collected: sentences, each once, as they came."""
        return list(self._found)

    def add(
        self, *sentences: str, kind: Type[InputError] = InputValueError
    ) -> None:
        """Report problems of one kind, none, one or many.

        Args:
            *sentences: What is wrong, and where.
            kind: Class of the error. Defaults to InputValueError.

        Raises:
            InputError: There is one, and they are not collected. The message
                has a line for each; what follows the tenth is counted.
        """
        if sentences and not self.collect:
            lines = list(sentences[:_MOST])
            if len(sentences) > _MOST:
                lines.append(f'... and {len(sentences) - _MOST:,} more')
            raise kind('\n'.join(lines))
        self.warn(*sentences)

    def warn(self, *sentences: str) -> None:
        """Collect what is a problem, but does not keep from training."""
        self._found.update(dict.fromkeys(sentences))

    @contextmanager
    def before_errors(self) -> Iterator[None]:
        """Let an error that ends the reading tell what was collected, too.

        Its message then has a line for each.
        """
        try:
            yield
        except InputError as error:
            if not self._found:
                raise
            lines = [*self._found, str(error)]
            raise type(error)('\n'.join(lines)) from error
