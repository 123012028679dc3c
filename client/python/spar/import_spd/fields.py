"""Reads a mapping field by field; what nobody asked for is refused."""

import math
import reprlib

from .refusal import Refused

_ABSENT = object()
_MOST = 2**31 - 1  # what Spar's own reader takes for a number of anything
_REAL = (1e-30, 1e30)


class Fields:
    """The fields of one mapping. where: the file and the path to the mapping,
    for messages."""

    def __init__(self, mapping, where):
        if not isinstance(mapping, dict):
            raise Refused(f"{where}: want a mapping, not {reprlib.repr(mapping)}")
        self.where = where
        self._mapping = mapping
        self._asked = set()

    def refuse(self, name, why):
        raise Refused(f"{self.where}: {name}: {why}")

    def raw(self, name, default=_ABSENT):
        """The value as written; null counts as absent."""
        self._asked.add(name)
        value = self._mapping.get(name)
        if value is None:
            if default is _ABSENT:
                self.refuse(name, "is missing")
            return default
        return value

    def integer(self, name, default=_ABSENT, most=_MOST):
        """From 1 on."""
        value = self.raw(name, default)
        if value is not default and not _is_count(value, most):
            self.refuse(name, f"want a whole number from 1 to {most}, not {reprlib.repr(value)}")
        return value

    def real(self, name, default=_ABSENT):
        """Above zero. YAML 1.1 reads 1e-6 as a text; that counts, too."""
        value = self.raw(name, default)
        if value is default:
            return value
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not _REAL[0] <= number <= _REAL[1]:
            self.refuse(name, f"want a number above 0, not {reprlib.repr(value)}")
        return number

    def boolean(self, name, default=_ABSENT):
        value = self.raw(name, default)
        if value is not default and not isinstance(value, bool):
            self.refuse(name, f"want true or false, not {reprlib.repr(value)}")
        return value

    def text(self, name, default=_ABSENT):
        value = self.raw(name, default)
        if value is not default and not (isinstance(value, str) and value):
            self.refuse(name, f"want a text, not {reprlib.repr(value)}")
        return value

    def choice(self, name, choices, default=_ABSENT):
        value = self.raw(name, default)
        if value not in choices:
            self.refuse(name, f"want one of {', '.join(choices)}, not {reprlib.repr(value)}")
        return value

    def integers(self, name, default=_ABSENT):
        value = self.raw(name, default)
        if value is default:
            return value
        if not isinstance(value, list) or not all(_is_count(e, _MOST) for e in value):
            self.refuse(name, f"want a list of whole numbers above 0, not {reprlib.repr(value)}")
        return value

    def mappings(self, name, default=_ABSENT):
        """One Fields for each entry of a list."""
        value = self.raw(name, default)
        if value is default:
            return value
        if not isinstance(value, list):
            self.refuse(name, f"want a list, not {reprlib.repr(value)}")
        return [Fields(e, f"{self.where}: {name}[{i}]") for i, e in enumerate(value)]

    def mapping(self, name, default=_ABSENT):
        value = self.raw(name, default)
        return value if value is default else Fields(value, f"{self.where}: {name}")

    def finish(self, harmless=()):
        """Refuses a field with a value that nobody asked for."""
        for name, value in self._mapping.items():
            if value is not None and name not in self._asked and name not in harmless:
                self.refuse(name, "a field that the import does not know")


def _is_count(value, most):
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= most
