"""Nodes of attribution graphs, named after what a pruning or a search kept."""

import itertools

from spar._generated.spar.v1 import attribution_pb2 as attributions

_MAX_NODES = 16_384
_PARTS = {
    "head": attributions.ATTRIBUTION_PART_HEADS,
    "neuron": attributions.ATTRIBUTION_PART_NEURONS,
}


def refs_of_row(header, row):
    """The AttributionNodeRef of each node of a PrunedRow, of PruneHeader `header`."""
    if not row.HasField("nodes"):
        raise ValueError(f"the row has {row.node_count} nodes, too many to be told")
    columns = row.nodes
    refs = [
        attributions.AttributionNodeRef(
            part=header.sites[site].part, layer=header.sites[site].layer, position=position,
            index=index)
        for position, site, index in sorted(
            zip(columns.positions, columns.sites, columns.subcomponents, strict=True))
    ]
    return _checked(refs)


def refs_of_explanation(explanation, modules=()):
    """The AttributionNodeRef of each unit of an Explanation: a unit of all
    positions at each of T. `modules` are those of the decomposition that the units
    are of, DecompositionModule messages.
    """
    places = {module.name: (module.part, module.layer) for module in modules}
    kept = [position.index for position in explanation.positions]
    refs = []
    for kind, module, layer, index, position in _units(explanation, modules):
        if kind == "delta":
            continue
        if module and module not in places:
            raise ValueError(f"the decomposition has no module {module!r}")
        part, layer = places[module] if module else (_PARTS[kind], layer)
        refs.extend(
            attributions.AttributionNodeRef(part=part, layer=layer, position=at, index=index)
            for at in (kept if position is None else [position]))
    return _checked(refs)


def _checked(refs):
    refs = [ref for ref in refs if ref.part != attributions.ATTRIBUTION_PART_EMBEDDING]
    if not refs:
        raise ValueError("none of the units is a node: Deltas and the embedding are vectors")
    if len(refs) > _MAX_NODES:
        raise ValueError(f"{len(refs)} nodes: a graph may name {_MAX_NODES}")
    return refs


def _units(explanation, modules):
    """(kind, module, layer, index, position or None) of each unit of S."""
    if explanation.units:
        return [(unit.kind, unit.module, unit.layer, unit.index,
                 unit.position if unit.HasField("position") else None)
                for unit in explanation.units]
    if not modules:
        raise ValueError(
            f"{explanation.kept_unit_count} units are told by numbers alone: too many")
    # docs/certificate.md: each module's subcomponents, then its Delta; of nodes
    # all of these position by position.
    numbered = [
        entry for module in modules
        for entry in ([("subcomponent", module.name, module.layer, index)
                       for index in range(module.subcomponent_count)]
                      + [("delta", module.name, module.layer, 0)])]
    all_positions = explanation.unit_count in (len(numbered), len(numbered) - len(modules))
    units = []
    for number in itertools.accumulate(explanation.unit_id_deltas):
        position, place = divmod(number, len(numbered))
        units.append((*numbered[place], None if all_positions else position))
    return units
