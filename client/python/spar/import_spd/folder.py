"""The files of one folder: found by name, never outside it."""

import datetime
import json
import math
import pathlib
import re

from .refusal import MissingPackage, Refused

MAX_YAML_BYTES = 4 << 20
_MAX_NODES = 100_000  # of a YAML document, aliases counted each time
_MAX_DEPTH = 48  # decomposition.json may be 64 deep, and this lies within


class Folder:
    """A folder that the user named.

    confined: refuse links that lead out of it. A run folder is confined; a
    target folder is not, since the Hub's cache is made of such links.
    """

    def __init__(self, path, confined):
        self.path = pathlib.Path(path)
        if not self.path.is_dir():
            raise Refused(f"{self.path}: want a folder")
        self._root = self.path.resolve()
        self._confined = confined

    def find(self, name):
        """The path of a file in the folder, None when there is none."""
        path = self.path / name
        if self._confined and not path.resolve().is_relative_to(self._root):
            raise Refused(f"{path}: is a link that leads out of the run folder")
        return path if path.is_file() else None

    def subfolder(self, name):
        """A Folder in this one, None when there is none."""
        path = self.path / name
        if not path.is_dir():
            return None
        if self._confined and not path.resolve().is_relative_to(self._root):
            raise Refused(f"{path}: is a link that leads out of the run folder")
        return Folder(path, self._confined)

    def numbered(self, pattern):
        """Paths by the number that `pattern`, a regular expression of a whole
        file name, has in its group."""
        found = {}
        for entry in sorted(self.path.iterdir()):
            match = re.fullmatch(pattern, entry.name)
            if match is None or self.find(entry.name) is None:
                continue
            number = int(match[1])
            if number in found:
                raise Refused(
                    f"{entry}: step {number} is also in {found[number].name}"
                )
            found[number] = entry
        return found


def read_yaml(path):
    """The mapping in a YAML file, as plain JSON values. Refuses fields that
    occur twice."""
    try:
        import yaml
    except ImportError as error:
        raise MissingPackage(
            "reading a run needs PyYAML: pip install pyyaml"
        ) from error

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node, deep=False):
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            for i, key in enumerate(keys):
                if key in keys[:i]:
                    raise Refused(f"{path}: field {key!r} occurs twice")
            return super().construct_mapping(node, deep)

    if path.stat().st_size > MAX_YAML_BYTES:
        raise Refused(f"{path}: want at most {MAX_YAML_BYTES} bytes")
    try:
        value = yaml.load(path.read_bytes(), Loader)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise Refused(f"{path}: no YAML: {_first_line(error)}") from error
    if not isinstance(value, dict):
        raise Refused(f"{path}: want a mapping at the top")
    return _Plain(path).of(value)


def read_json(path):
    """The object in a JSON file."""

    def refuse(constant):
        raise ValueError(f"{constant} is no number of JSON")

    try:
        value = json.loads(path.read_bytes(), parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise Refused(f"{path}: no JSON: {_first_line(error)}") from error
    if not isinstance(value, dict):
        raise Refused(f"{path}: want an object at the top")
    return value


def _first_line(error):
    return str(error).strip().splitlines()[0] if str(error).strip() else "malformed"


class _Plain:
    """Turns what YAML makes into what JSON can say, within bounds: an alias is
    cheap to write and dear to expand."""

    def __init__(self, path):
        self._path = path
        self._nodes = 0

    def of(self, value, depth=0):
        self._nodes += 1
        if self._nodes > _MAX_NODES or depth > _MAX_DEPTH:
            raise Refused(
                f"{self._path}: want at most {_MAX_NODES} values, {_MAX_DEPTH} deep"
            )
        if isinstance(value, dict):
            return {str(key): self.of(held, depth + 1) for key, held in value.items()}
        if isinstance(value, (list, tuple, set)):
            return [self.of(held, depth + 1) for held in value]
        if isinstance(value, str) and not value.isascii():
            return value.encode(errors="replace").decode()  # lone surrogates
        if isinstance(value, float) and not math.isfinite(value):
            return str(value)
        if isinstance(value, (datetime.date, bytes)):
            return str(value)
        return value
