"""A search in progress."""

import grpc

from spar.errors import Error


class Search:
    """A search in progress: an iterator over its CrystallizeEvent messages.

    Every event is a verified restriction: `sequence` counts from 1 without
    gaps, `margin` is m(S, T) in logits. Leaving the `with` block, closing the
    client or calling cancel() stops the search on the server within one batch.
    """

    def __init__(self, call):
        self._call = call
        self._explanation = None

    def __iter__(self):
        return self

    def __next__(self):
        try:
            for response in self._call:
                if response.WhichOneof("content") == "event":
                    return response.event
                self._explanation = response.explanation
        except grpc.RpcError as error:
            raise Error.of(error) from None
        raise StopIteration

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.cancel()

    def cancel(self):
        """Stops the search; iterating on raises spar.Error "CANCELLED"."""
        self._call.cancel()

    @property
    def explanation(self):
        """The Explanation message; reads what is left of the events first."""
        for _ in self:
            pass
        if self._explanation is None:
            raise Error("DATA_LOSS", "the stream ended without an explanation")
        return self._explanation
