"""A pruning in progress."""

from spar import nodes
from spar.stream import PartsStream


class Pruning(PartsStream):
    """A pruning in progress: an iterator over its messages as they come.

    They are PruneProgress, a few in a second; PrunedRow, one prompt at one price;
    and, where searches were asked for, PrunedExplanation. Leaving the `with`
    block, closing the client or calling cancel() stops the work on the server
    within one batch; iterating on then raises spar.Error "CANCELLED".

    Rows are numbered prompt by prompt, in each by coefficient, from 0:
    `prompt_index * len(header.coefficients) + coefficient_index`. What follows
    reads what is left of the messages first; spar.Error "DATA_LOSS" where the
    stream ended without all of them.
    """

    _WORK = "a pruning"
    _YIELDED = ("progress", "row", "explanation")

    def __init__(self, call):
        super().__init__(call)
        self._rows = {}
        self._explanations = {}

    @property
    def header(self):
        """The PruneHeader: sites, prompts as the model read them, coefficients
        and options in use. Reads nothing beyond it."""
        return self._first()

    @property
    def rows(self):
        """[prompts x coefficients]: a list of PrunedRow messages by number.
        `nodes` has four columns of one length: sites (of `header.sites`),
        positions, subcomponents, importances; losses are in nats, margins in
        logits."""
        return self._whole(self._rows, "rows")

    @property
    def explanations(self):
        """[prompts x coefficients]: a list of PrunedExplanation messages by
        number; empty where no searches were asked for."""
        self._last()
        return self._whole(self._explanations, "explanations") if self._explanations else []

    @property
    def summary(self):
        """The PruneSummary: `curves`, one for each prompt, whose points, a price
        each, ascend by node count, and the seconds that it took."""
        return self._last()

    def chosen(self, prompt_index=0):
        """The number of the row to look at: the smallest set on the frontier that
        still says the target (its margin is above 0); where none does, that of
        the largest margin."""
        points = self.summary.curves[prompt_index].points
        telling = [point for point in points if point.on_frontier and point.margin > 0]
        point = (min(telling, key=lambda point: point.node_count) if telling
                 else max(points, key=lambda point: point.margin))
        return prompt_index * len(self.header.coefficients) + point.coefficient_index

    def node_refs(self, row):
        """The nodes of a row, a number or a PrunedRow, as a list of
        AttributionNodeRef for Client.attribute(nodes=...), by position. Those of
        the embedding are not among them: every graph has it as vectors.

        Raises ValueError where the row told no nodes.
        """
        if isinstance(row, int):
            row = self.rows[row]
        return nodes.refs_of_row(self.header, row)

    def _whole(self, found, what):
        self._last()
        count = len(self._header.prompts) * len(self._header.coefficients)
        if sorted(found) != list(range(count)):
            raise self._lost(f"all its {what}")
        return [found[number] for number in range(count)]

    def _note(self, content, part):
        if content == "row":
            self._rows[self._number(part)] = part
        elif content == "explanation":
            self._explanations[self._number(part)] = part

    def _number(self, part):
        return part.prompt_index * len(self._header.coefficients) + part.coefficient_index
