"""A training in progress."""

from spar.errors import Error
from spar.stream import Stream


class Training(Stream):
    """A training in progress: an iterator over its messages as they come.

    They are TrainingProgress, of all logged steps and a few others in a second,
    and TrainingCheckpoint. Leaving the `with` block, closing the client or calling
    cancel() ends the training on the server after the step in progress, with a
    checkpoint; iterating on then raises spar.Error "CANCELLED". Who reads slowly
    misses messages.
    """

    def __init__(self, call):
        super().__init__(call)
        self._start = None
        self._summary = None

    def __next__(self):
        while True:
            content, part = self._read()
            if content is None:
                raise StopIteration
            if content in ("progress", "checkpoint"):
                return part

    @property
    def start(self):
        """The TrainingStart: digests and out_dir. Reads nothing beyond it."""
        while self._start is None:
            if self._read()[0] is None:
                raise _lost("its start")
        return self._start

    @property
    def summary(self):
        """The TrainingSummary: path and digest of the decomposition. Reads what is
        left of the messages first."""
        for _ in self:
            pass
        if self._summary is None:
            raise _lost("its summary")
        return self._summary

    def _read(self):
        """The next field and message, noted; None twice at the end."""
        response = self._next()
        if response is None:
            return None, None
        content = response.WhichOneof("content")
        part = getattr(response, content)
        if content == "start":
            self._start = part
        elif content == "summary":
            self._summary = part
        return content, part


def _lost(what):
    return Error("DATA_LOSS", f"the stream of a training ended without {what}")
