"""A folder that appears whole or not at all."""

import contextlib
import os
import pathlib
import shutil
import tempfile

from .refusal import Refused

# What an import leaves behind, and so what --force may replace.
PARTS = frozenset({"model", "decomposition"})


class OutputError(Exception):
    """The result could not be written."""


@contextlib.contextmanager
def output_folder(path, force):
    """Yields an empty folder beside `path`, which takes its place at the end.

    When the block raises, nothing is left. An existing folder is replaced with
    force, and only when it is an import's: nothing but PARTS in it. Raises
    Refused, or OutputError when the file system says no.
    """
    path = pathlib.Path(os.path.abspath(path))
    check_free(path, force)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        made = tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror}") from error
    made = pathlib.Path(made)
    try:
        os.chmod(made, 0o755)
        yield made
        _put_in_place(made, path)
    except OSError as error:
        raise OutputError(f"{error.filename or path}: {error.strerror}") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)


def check_free(path, force):
    """Refuses a path that an import may not write to."""
    path = pathlib.Path(path)
    if path.is_symlink() or path.exists():
        if path.is_symlink() or not path.is_dir():
            raise Refused(f"{path}: exists and is no folder")
        held = {entry.name for entry in path.iterdir()}
        if held - PARTS:
            raise Refused(
                f"{path}: exists and holds {sorted(held - PARTS)[0]}, which no import "
                "writes; choose another folder"
            )
        if held and not force:
            raise Refused(f"{path}: exists; --force replaces it")


def _put_in_place(made, path):
    """Two renames, since no one call swaps folders everywhere; an old folder
    stays until the new one is there."""
    if not path.exists():
        made.rename(path)
        return
    old = pathlib.Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.old."))
    path.rename(old / "old")
    try:
        made.rename(path)
    except OSError:
        (old / "old").rename(path)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
