"""Imports runs of the public `spd` library: `spar-import-spd RUN_FOLDER OUT`.

A run folder holds `final_config.yaml` and `model_<step>.pth`; both of the
library's layouts are read, with the names that older versions wrote. The
result is a decomposition folder (docs/formats.md) beside a snapshot folder of
its target, which `spard` loads.

    from spar.import_spd import import_run

    summary = import_run("spd_out/spd/s-55ea3f9b", "jose", target="t-9d2b8f02")

The parts, in the order in which a run goes through them: folder (files),
migrations and run_config (the YAML), state_dict (the checkpoint), target and
families (the model), ci_function (the causal importance function), output and
safetensors_file (what is written), importer (all of it), command.
"""

from .refusal import MissingPackage, Refused

__all__ = ["MissingPackage", "Refused", "import_run"]


def __getattr__(name):
    if name == "import_run":
        from .importer import import_run

        return import_run
    raise AttributeError(f"module 'spar.import_spd' has no attribute {name!r}")
