"""Causal importances, put together from the messages of their stream."""

import contextlib
import dataclasses

from spar.errors import Error


@dataclasses.dataclass
class ModuleImportances:
    """What is alive of one decomposed weight on one prompt: four lists of the
    same length, ascending by position, then by subcomponent.

    Attributes:
      positions: where, from 0.
      subcomponents: which, from 0 in this module.
      importances: g, the causal importance, above the threshold; 1 means that
        the subcomponent may not be left out.
      activations: a = V_c . x, without any norm of U.
    """

    positions: list = dataclasses.field(default_factory=list)
    subcomponents: list = dataclasses.field(default_factory=list)
    importances: list = dataclasses.field(default_factory=list)
    activations: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class PromptImportances:
    """What one prompt came to.

    Attributes:
      prompt: its place among the prompts asked about, from 0.
      tokens: the prompt as the model read it, a list of Token messages.
      modules: by module name, in the decomposition's order, ModuleImportances;
        every module told is there, with empty lists where nothing is alive.
      cut_count: how many max_subcomponent_count left out.
    """

    prompt: int
    tokens: list
    modules: dict
    cut_count: int


def read(responses):
    """Yields a PromptImportances for each prompt of an Importances stream, a
    generator, which is closed with this one.

    Raises spar.Error "DATA_LOSS" where something is missing.
    """
    start, whole, finished = None, None, 0
    with contextlib.closing(responses):
        for response in responses:
            if response.WhichOneof("content") == "start":
                start = response.start
                continue
            part = response.importances
            if start is None or part.prompt != finished:
                raise _lost("has its prompts out of order")
            if whole is None:
                modules = {module.name: ModuleImportances() for module in start.modules}
                whole = PromptImportances(part.prompt, [], modules, part.cut_count)
                left = part.entry_count
            whole.tokens.extend(part.tokens)
            for lists in part.modules:
                _extend(whole.modules[start.modules[lists.module].name], lists)
                left -= len(lists.importances)
            if left == 0 and len(whole.tokens) == part.token_count:
                yield whole
                whole, finished = None, finished + 1
    if start is None or finished != start.prompt_count:
        raise _lost("ended before all its prompts")


def _extend(module, lists):
    entry = 0
    for place, count in enumerate(lists.counts):
        number = 0
        for delta in lists.subcomponent_deltas[entry:entry + count]:
            number += delta
            module.subcomponents.append(number)
        module.positions.extend([lists.first_position + place] * count)
        entry += count
    module.importances.extend(lists.importances)
    module.activations.extend(lists.activations)
    if not entry == len(lists.importances) == len(lists.activations):
        raise _lost("has lists that do not fit")


def _lost(what):
    return Error("DATA_LOSS", f"the stream of importances {what}")
