"""An evaluation in progress."""

from spar.stream import PartsStream

_PARTS = {  # field of EvaluateResponse: how the whole answer calls it
    "faithfulness": "faithfulness",
    "sparsity": "sparsity",
    "module_sparsity": "modules",
    "reconstruction": "reconstructions",
    "output_errors": "output_errors",
    "pattern_errors": "pattern_errors",
    "sparsity_curve": "sparsity_curves",
    "attack_curve": "attack_curves",
}


class Evaluation(PartsStream):
    """An evaluation in progress: an iterator over its messages as they come.

    They are EvaluationProgress, a few in a second, and the parts of the answer as
    they are complete, each of the type of its field in EvaluateResponse. Leaving
    the `with` block, closing the client or calling cancel() stops the work on the
    server within one run of a batch; iterating on then raises spar.Error
    "CANCELLED".

    What follows reads what is left of the messages first; spar.Error "DATA_LOSS"
    where the stream ended without all of them. Cross-entropies and divergences
    are in nats; lists by module are in the order of `header.modules`.
    """

    _WORK = "an evaluation"
    _YIELDED = ("progress", *_PARTS)

    def __init__(self, call):
        super().__init__(call)
        self._parts = {name: [] for name in _PARTS.values()}

    @property
    def header(self):
        """The EvaluationHeader: modules, counts and options in use. Reads nothing
        beyond it."""
        return self._first()

    @property
    def faithfulness(self):
        """EvaluatedFaithfulness: mean squares of Delta and of the weights."""
        return self._one("faithfulness")

    @property
    def sparsity(self):
        """EvaluatedSparsity: L0 and alive counts of all modules."""
        return self._one("sparsity")

    @property
    def modules(self):
        """[module]: EvaluatedModuleSparsity, with `mean_importances` [C] and
        `densities` [C]."""
        return self._many("modules", len(self.header.modules))

    @property
    def reconstructions(self):
        """EvaluatedReconstruction of all modules, then of each subset: `readings`
        has a MaskedReading for each kind of masks."""
        return self._many("reconstructions", self._tables())

    @property
    def output_errors(self):
        """EvaluatedOutputErrors under importances as masks, then stochastic ones."""
        return self._many("output_errors", 2)

    @property
    def pattern_errors(self):
        """EvaluatedPatternErrors, likewise."""
        return self._many("pattern_errors", 2)

    @property
    def sparsity_curves(self):
        """EvaluatedSparsityCurve of all modules, then of each subset."""
        return self._many("sparsity_curves", self._tables())

    @property
    def attack_curves(self):
        """EvaluatedAttackCurve of each scope; empty without attacks."""
        return self._many("attack_curves", len(self.header.options.attack.scopes))

    @property
    def summary(self):
        """EvaluationSummary: the seconds that it took."""
        return self._last()

    def _tables(self):
        return 1 + len(self.header.options.subsets)

    def _one(self, name):
        return self._many(name, 1)[0]

    def _many(self, name, count):
        self._last()
        if len(self._parts[name]) != count:
            raise self._lost(f"all its {name}")
        return list(self._parts[name])

    def _note(self, content, part):
        if content in _PARTS:
            self._parts[_PARTS[content]].append(part)
