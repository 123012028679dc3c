"""Why a run is not imported."""


class Refused(Exception):
    """The run, or its target, cannot be imported. The message is a sentence
    that names the file, the field, module or tensor, and the numbers."""


class MissingPackage(Exception):
    """A Python package that only the import needs is not installed."""
