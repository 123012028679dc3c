"""A training in progress."""

from spar.stream import PartsStream


class Training(PartsStream):
    """A training in progress: an iterator over its messages as they come.

    They are TrainingProgress, of all logged steps and a few others in a second,
    and TrainingCheckpoint. Leaving the `with` block, closing the client or calling
    cancel() ends the training on the server after the step in progress, with a
    checkpoint; iterating on then raises spar.Error "CANCELLED". Who reads slowly
    misses messages.
    """

    _WORK = "a training"
    _HEADER = "start"
    _YIELDED = ("progress", "checkpoint")

    @property
    def start(self):
        """The TrainingStart: digests and out_dir. Reads nothing beyond it."""
        return self._first()

    @property
    def summary(self):
        """The TrainingSummary: path and digest of the decomposition. Reads what is
        left of the messages first."""
        return self._last()
