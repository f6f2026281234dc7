"""Parts of a test that are there once they are made, and go when the block ends."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Closing(ABC):
    """A context manager that does nothing but close itself at the end."""

    @abstractmethod
    def close(self) -> None:
        """End what was started, and remove what it stored."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
