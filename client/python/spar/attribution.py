"""Attribution graphs: requests of keyword arguments, graphs of their stream."""

from spar.errors import Error

_WORDS = {
    "norm": "NormGradient", "run": "AttributedRun", "path_weighting": "PathWeighting",
    "part": "AttributionPart",
}
_PREFIXES = {
    "norm": "NORM_GRADIENT_", "run": "ATTRIBUTED_RUN_",
    "path_weighting": "PATH_WEIGHTING_", "part": "ATTRIBUTION_PART_",
}


def fields(messages, message, values):
    """`message`, a class of the module `messages`, of keyword arguments: enums may
    be words, messages dicts. TypeError for a field that it does not have.
    """
    known = message.DESCRIPTOR.fields_by_name
    made = {}
    for name, value in values.items():
        if name not in known:
            raise TypeError(f"{message.DESCRIPTOR.name} has no field {name!r}: {sorted(known)}")
        if name in _WORDS and isinstance(value, str):
            value = getattr(messages, _WORDS[name]).Value(_PREFIXES[name] + value.upper())
        inner = known[name].message_type
        if inner is not None:
            inner = getattr(messages, inner.name)
            if isinstance(value, dict):
                value = fields(messages, inner, value)
            elif isinstance(value, (list, tuple)):
                value = [fields(messages, inner, entry) if isinstance(entry, dict) else entry
                         for entry in value]
        made[name] = value
    return message(**made)


def gather(messages, responses):
    """The AttributionGraph of an Attribute stream.

    Raises spar.Error "DATA_LOSS" where something is missing.
    """
    graph, edge_count = messages.AttributionGraph(), 0
    for response in responses:
        content = response.WhichOneof("content")
        if content == "header":
            graph.header.CopyFrom(response.header)
        elif content == "nodes":
            graph.nodes.extend(response.nodes.nodes)
        elif content == "edges":
            graph.edges.append(response.edges)
            edge_count += len(response.edges.sources)
        elif content == "summary":
            graph.summary.CopyFrom(response.summary)
    if not (graph.HasField("header") and graph.HasField("summary")
            and len(graph.nodes) == graph.header.node_count
            and edge_count == graph.summary.edge_count):
        raise Error("DATA_LOSS", "the stream ended without the whole graph")
    return graph
