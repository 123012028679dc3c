"""Requests made of keyword arguments."""

import re

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message_factory import GetMessageClass


def message(made, values):
    """`made`, a message class, of a dict by field name: enums may be words (of
    UNIT_SCHEME_NODE_AND_DELTA "node+delta"), messages dicts, and durations
    seconds. TypeError for a field that it does not have, ValueError for a word.
    """
    return _message(made.DESCRIPTOR, values)


def _message(descriptor, values):
    known = descriptor.fields_by_name
    for name in values:
        if name not in known:
            raise TypeError(f"{descriptor.name} has no field {name!r}: {sorted(known)}")
    made = GetMessageClass(descriptor)(
        **{name: _value(known[name], value) for name, value in values.items()})
    for name, value in values.items():
        if value == {}:  # present, although it says nothing
            getattr(made, name).SetInParent()
    return made


def _value(field, value):
    if isinstance(value, (list, tuple)):
        return [_value(field, entry) for entry in value]
    if field.enum_type is not None and isinstance(value, str):
        return _number(field.enum_type, value)
    if field.message_type is None:
        return value
    if isinstance(value, dict):
        return _message(field.message_type, value)
    if field.message_type.full_name == Duration.DESCRIPTOR.full_name and not isinstance(
            value, Duration):
        duration = Duration()
        duration.FromNanoseconds(round(value * 1e9))
        return duration
    return value


def _number(enum, word):
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", enum.name).upper()
    name = f"{prefix}_{word.upper().replace('+', '_AND_').replace('-', '_')}"
    if name not in enum.values_by_name:
        words = [known[len(prefix) + 1:].lower() for known in enum.values_by_name]
        raise ValueError(f"{enum.name} has no value {word!r}: {sorted(words)}")
    return enum.values_by_name[name].number
