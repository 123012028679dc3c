"""Attribution graphs, put together from the messages of their stream."""

from spar.errors import Error


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
