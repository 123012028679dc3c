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
