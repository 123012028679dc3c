"""A search in progress."""

from spar.errors import Error
from spar.stream import Stream


class Search(Stream):
    """A search in progress: an iterator over its CrystallizeEvent messages.

    Every event is a verified restriction: `sequence` counts from 1 without
    gaps, `margin` is m(S, T) in logits. Leaving the `with` block, closing the
    client or calling cancel() stops the search on the server within one batch.
    """

    def __init__(self, call):
        super().__init__(call)
        self._explanation = None

    def __next__(self):
        while (response := self._next()) is not None:
            if response.WhichOneof("content") == "event":
                return response.event
            self._explanation = response.explanation
        raise StopIteration

    @property
    def explanation(self):
        """The Explanation message; reads what is left of the events first."""
        for _ in self:
            pass
        if self._explanation is None:
            raise Error("DATA_LOSS", "the stream ended without an explanation")
        return self._explanation
