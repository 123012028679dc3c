"""Spar's Python client: asks a Spar server why a model produced a token.

    import spar

    with spar.Client("127.0.0.1:7430") as client:
        search = client.crystallize("The capital of Japan is")
        for event in search:
            print(event.sequence, event.margin, event.kept_unit_count)
        print(search.explanation.remark)

The parts load on first use, so `spar.verify`, which needs no gRPC, works
without it.
"""

__all__ = ["Client", "Error", "Evaluation", "Pruning", "Search", "Training"]


def __getattr__(name):
    if name in __all__:
        from spar import client

        return getattr(client, name)
    raise AttributeError(f"module 'spar' has no attribute {name!r}")
