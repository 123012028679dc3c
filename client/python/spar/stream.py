"""A call whose answer comes in parts."""

import grpc

from spar.errors import Error


class Stream:
    """A call in progress: an iterator, which ends the call when it is left early."""

    def __init__(self, call):
        self._call = call

    def __iter__(self):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.cancel()

    def cancel(self):
        """Stops the work on the server; iterating on raises spar.Error "CANCELLED"."""
        self._call.cancel()

    def _next(self):
        """The next response; None at the end."""
        try:
            return next(self._call, None)
        except grpc.RpcError as error:
            raise Error.of(error) from None


class PartsStream(Stream):
    """A call in progress whose answer is a header, parts and a summary.

    A subclass names the work (`_WORK`), its response's fields of header and
    summary and those that iterating yields, and says in _note what it keeps.
    """

    _WORK = ""
    _HEADER = "header"
    _YIELDED = ()

    def __init__(self, call):
        super().__init__(call)
        self._header = None
        self._summary = None

    def __next__(self):
        while True:
            content, part = self._read()
            if content is None:
                raise StopIteration
            if content in self._YIELDED:
                return part

    def _note(self, content, part):
        """Keeps what a subclass tells later; nothing here."""

    def _read(self):
        """The next field and message, noted; None twice at the end."""
        response = self._next()
        if response is None:
            return None, None
        content = response.WhichOneof("content")
        part = getattr(response, content)
        if content == self._HEADER:
            self._header = part
        elif self._header is None:
            raise self._lost(f"its {self._HEADER}")
        elif content == "summary":
            self._summary = part
        else:
            self._note(content, part)
        return content, part

    def _first(self):
        """The header; reads nothing beyond it."""
        while self._header is None:
            if self._read()[0] is None:
                raise self._lost(f"its {self._HEADER}")
        return self._header

    def _last(self):
        """The summary; reads what is left of the parts first."""
        for _ in self:
            pass
        if self._summary is None:
            raise self._lost("its summary")
        return self._summary

    def _lost(self, what):
        return Error("DATA_LOSS", f"the stream of {self._WORK} ended without {what}")
