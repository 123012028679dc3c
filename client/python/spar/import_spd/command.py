"""The command `spar-import-spd`."""

import argparse
import dataclasses
import json
import os
import re
import shlex
import sys

from .output import OutputError
from .refusal import MissingPackage, Refused

DONE, REFUSED, USAGE, NOT_WRITTEN, INTERRUPTED = 0, 1, 2, 5, 130
_SUSPICIOUS_DELTA = 0.5

_DESCRIPTION = """\
Imports a run of the public spd library: writes OUT/model, a snapshot folder of
the model that the run decomposes, which spard serves, and OUT/decomposition, the
decomposition folder (docs/formats.md).
"""
_EPILOG = """\
RUN_FOLDER holds final_config.yaml and model_<step>.pth, as a run of spd leaves
them. Both layouts of the library are read, and what older versions wrote. Only
this folder is read, and what the options name.

The run does not say how its target is used (heads, rotation, epsilon). Name the
target's folder with --target: the pretraining run, with model_config.yaml, or
the Hugging Face folder, with config.json. Where that folder holds weights, too,
they have to be those in the run.

When it is done it prints the command that serves the two together:

  spard --model NAME=OUT/model --decomposition NAME/main=OUT/decomposition

exit status: 0 imported; 1 refused, standard error says why; 2 bad arguments, a
file that cannot be read, or a missing Python package; 5 OUT cannot be written;
130 interrupted. Unless it is 0, nothing is left behind."""


def _parser():
    parser = argparse.ArgumentParser(
        prog="spar-import-spd",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run_folder", metavar="RUN_FOLDER", help="the run")
    parser.add_argument(
        "out", metavar="OUT", help="folder to write; made whole or not at all"
    )
    parser.add_argument(
        "--target",
        metavar="FOLDER",
        help="the model that the run decomposes; default: RUN_FOLDER itself",
    )
    parser.add_argument(
        "--tokenizer",
        metavar="PATH",
        help="a tokenizer.json, or a folder with tokenizer files, to put beside the "
        "model; default: those of the target's folder, if any",
    )
    parser.add_argument(
        "--step", type=int, metavar="N", help="checkpoint; default: the last one"
    )
    parser.add_argument(
        "--ignore-field",
        action="append",
        default=[],
        metavar="NAME",
        help="a field of final_config.yaml that the import does not know and you say "
        "does not matter; may be repeated",
    )
    parser.add_argument(
        "--force", action="store_true", help="replace an earlier import at OUT"
    )
    parser.add_argument("--json", action="store_true", help="say what was done in JSON")
    return parser


def _say(summary, options):
    if options.json:
        print(json.dumps(dataclasses.asdict(summary)))
        return
    count = sum(summary.components.values())
    print(
        f"{options.out}/model          {summary.model_type}, weights digest "
        f"{summary.weights_digest[:12]}"
    )
    print(
        f"{options.out}/decomposition  step {summary.step}, {count} subcomponents of "
        f"{len(summary.components)} modules, {summary.kind}"
    )
    print(
        f"{summary.written_bytes / 1e6:.1f} MB written; Delta holds "
        f"{summary.delta_share:.3%} of the squared weights"
    )
    print(f"serve it with\n  {_serve(options.out)}")


def _serve(out):
    """The command that serves an import; the model is named as its folder, in
    what names may have."""
    folder = os.path.basename(os.path.normpath(out)).lower()
    name = re.sub(r"[^a-z0-9._-]+", "-", folder).lstrip("._-")[:64] or "model"
    model, decomposition = (
        shlex.quote(f"{prefix}={os.path.join(out, part)}")
        for prefix, part in ((name, "model"), (f"{name}/main", "decomposition"))
    )
    return f"spard --model {model} --decomposition {decomposition}"


def _warn(summary):
    if summary.delta_share > _SUSPICIOUS_DELTA:
        print(
            "spar-import-spd: warning: the subcomponents leave most of the weights to "
            "Delta: is this a trained run?",
            file=sys.stderr,
        )
    if not summary.has_tokenizer:
        used = summary.tokenizer_name
        print(
            "spar-import-spd: note: no tokenizer beside the model, and spard serves "
            "none without: name one with --tokenizer"
            + (f"; the run names {used}" if used else ""),
            file=sys.stderr,
        )


def main(arguments=None):
    options = _parser().parse_args(arguments)
    try:
        from .importer import import_run

        summary = import_run(
            options.run_folder,
            options.out,
            target=options.target,
            tokenizer=options.tokenizer,
            step=options.step,
            force=options.force,
            ignored=options.ignore_field,
        )
    except Refused as refusal:
        return _fail(refusal, REFUSED)
    except OutputError as error:
        return _fail(error, NOT_WRITTEN)
    except ImportError as error:
        return _fail(f"needs the Python package {error.name}", USAGE)
    except (MissingPackage, OSError) as error:
        return _fail(error, USAGE)
    except KeyboardInterrupt:
        return INTERRUPTED
    _warn(summary)
    _say(summary, options)
    return DONE


def _fail(error, status):
    print(f"spar-import-spd: {error}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
