"""What a server says when it refuses."""

import functools
import pathlib

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

_TRAILER = "grpc-status-details-bin"


class Error(Exception):
    """A call that failed.

    Attributes:
      code: name of the gRPC status code, for example "INVALID_ARGUMENT".
      message: one sentence for people.
      reason: what a program may act on, for example "TOKEN_OUT_OF_RANGE";
        "" where the error is the transport's.
      field: path of the request field at fault, for example
        "prompt.tokens.ids[3]"; "" where there is none.
      metadata: the numbers and names of the message, as a dict of strings.
    """

    def __init__(self, code, message, reason="", field="", metadata=None):
        self.code = code
        self.message = message
        self.reason = reason
        self.field = field
        self.metadata = dict(metadata or {})
        place = f" at {field}" if field else ""
        middle = f": {reason}{place}" if reason else ""
        super().__init__(f"{code}{middle}: {message}")

    @classmethod
    def of(cls, rpc_error):
        """The Error that a grpc.RpcError carries."""
        code = rpc_error.code() or grpc.StatusCode.UNKNOWN
        message = rpc_error.details() or ""
        for key, value in rpc_error.trailing_metadata() or ():
            if key == _TRAILER:
                reason, field, metadata = _decoded(value)
                return cls(code.name, message, reason, field, metadata)
        return cls(code.name, message)


@functools.cache
def _message_classes():
    """google.rpc's messages, in a pool of their own."""
    path = pathlib.Path(__file__).parent / "_generated" / "details.binpb"
    files = descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
        for name in ("google.rpc.Status", "google.rpc.ErrorInfo", "google.rpc.BadRequest")
    }


def _decoded(details):
    """Reason, field and metadata of a serialized google.rpc.Status."""
    classes = _message_classes()
    reason, field, metadata = "", "", {}
    try:
        for entry in classes["google.rpc.Status"].FromString(details).details:
            name = entry.type_url.rpartition("/")[2]
            if name == "google.rpc.ErrorInfo":
                info = classes[name].FromString(entry.value)
                reason, metadata = info.reason, dict(info.metadata)
            elif name == "google.rpc.BadRequest":
                violations = classes[name].FromString(entry.value).field_violations
                field = violations[0].field if violations else ""
    except DecodeError:
        pass  # another program's details: code and message remain
    return reason, field, metadata
