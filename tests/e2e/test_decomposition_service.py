"""Decompositions over gRPC: what they are, what they say about prompts, and
graphs of their subcomponents, against a plain torch re-implementation."""

import json
import re
import time

import grpc
import numpy as np
import pytest
from safetensors.numpy import load_file

import spar
from random_model import word
from spar.client import attributions, decompositions, models
from spar.errors import Error
from spard_process import PATIENCE
from spard_process import spar as spar_program

MAIN = "models/tiny/decompositions/main"
THRESHOLD = 0.25
TOLERANCE = 1e-5  # of importances and, relative to the largest, activations
PROMPTS = [[7, 0, 33, 41, 7, 12, 48], [19], [2, 44, 3]]


@pytest.fixture
def client(decomposed):
    with spar.Client(decomposed.address, model="tiny", timeout=PATIENCE) as made:
        yield made


def dense(lists, shape):
    """(which are told, g, a), each of `shape`."""
    told, g, a = (np.zeros(shape, kind) for kind in (bool, float, float))
    at = (lists.positions, lists.subcomponents)
    told[at], g[at], a[at] = True, lists.importances, lists.activations
    assert told.sum() == len(lists.positions)
    return told, g, a


def test_lists_what_a_model_has(client, decomposed):
    names = [found.name for found in client.decompositions()]
    assert names == [MAIN, "models/tiny/decompositions/other"]
    assert client.decompositions(model="bare") == []
    listed = {model.name: model for model in client.models()}
    assert [one.name for one in listed["models/tiny"].decompositions] == names
    assert not listed["models/bare"].decompositions
    for one, told in zip(listed["models/tiny"].decompositions, client.decompositions(),
                         strict=True):
        assert one.memory_bytes == told.memory_bytes > 0
        assert not told.modules
        figures = re.findall(r"^spar_decomposition_bytes\{.*\} (\S+)$",
                             decomposed.spard.metrics(), re.MULTILINE)
        assert one.memory_bytes in map(float, figures)


def test_lists_page_by_page(client):
    request = decompositions.ListDecompositionsRequest(parent="models/tiny", page_size=1)
    pages = []
    while True:
        response = client._decompositions.ListDecompositions(request, timeout=PATIENCE)
        pages.append([found.name for found in response.decompositions])
        request.page_token = response.next_page_token
        if not request.page_token:
            break
    assert pages == [[MAIN], ["models/tiny/decompositions/other"]]


def test_tells_what_its_folder_says(client, decomposed):
    told = client.decomposition("main", view="full")
    held = json.loads((decomposed.folder / "decomposition.json").read_text())
    assert told.name == MAIN
    assert told.target_weights_digest == held["target"]["weights_digest"]
    assert json.loads(told.training_json) == held["training"]
    assert told.dtype == "float32"
    assert 0 < told.identity_error < 1e-5
    function = told.importance_function
    assert function.kind == decompositions.IMPORTANCE_FUNCTION_KIND_GLOBAL_SHARED_TRANSFORMER
    assert function.sigmoid == decompositions.IMPORTANCE_SIGMOID_LEAKY_HARD
    assert (list(function.hidden_widths), function.width, function.block_count) == (
        [9, 11], 12, 2)
    assert function.max_token_count == 12
    assert told.sampling == decompositions.MASK_SAMPLING_CONTINUOUS
    assert told.has_delta
    sizes = {entry["name"]: entry["components"] for entry in held["modules"]}
    assert {m.name: m.subcomponent_count for m in told.modules} == sizes
    assert told.module_count == len(sizes)
    assert told.subcomponent_count == sum(sizes.values())
    stored = sum(tensor.nbytes for tensor in
                 load_file(decomposed.folder / "decomposition.safetensors").values())
    assert stored <= told.memory_bytes < 4 * stored
    reference = decomposed.reference
    for module in told.modules:
        weight = decomposed.weights[module.name]
        assert (module.output_width, module.input_width) == weight.shape
        assert module.weight_norm == pytest.approx(weight.norm().item(), rel=1e-5)
        delta = reference.delta(module.name, weight).norm().item()
        assert module.delta_norm == pytest.approx(delta, rel=1e-5)
        norms = reference.u(module.name).norm(dim=1) * reference.v(module.name).norm(dim=1)
        assert list(module.subcomponent_norms) == pytest.approx(norms.tolist(), rel=1e-5)
        assert not module.HasField("alive_count")
    assert (told.modules[0].name, told.modules[0].layer) == ("wte", -1)
    assert told.modules[0].part == attributions.ATTRIBUTION_PART_EMBEDDING


def test_importances_are_those_of_plain_torch(client, decomposed):
    answers = list(client.importances(PROMPTS, decomposition="main", threshold=THRESHOLD))
    kept = 0
    for prompt, tokens, answer in zip(range(3), PROMPTS, answers, strict=True):
        assert answer.prompt == prompt
        assert [token.id for token in answer.tokens] == tokens
        assert answer.cut_count == 0
        truth = decomposed.truth(tokens)
        assert sorted(answer.modules) == sorted(truth)
        for name, (g, a) in truth.items():
            told, mine_g, mine_a = dense(answer.modules[name], g.shape)
            clear = np.abs(g - THRESHOLD) > 1e-4
            assert ((g > THRESHOLD) == told)[clear].all()
            assert np.abs((mine_g - g)[told]).max(initial=0) < TOLERANCE
            assert np.abs((mine_a - a)[told]).max(initial=0) < TOLERANCE * np.abs(a).max()
            kept += told.sum()
    assert kept > 50


def test_the_strongest_are_kept_and_the_others_counted(client, decomposed):
    whole = next(client.importances([PROMPTS[0]], decomposition=MAIN, modules=["wte"]))
    cut = next(client.importances([PROMPTS[0]], decomposition=MAIN, modules=["wte"],
                                  max_subcomponent_count=1))
    assert list(whole.modules) == list(cut.modules) == ["wte"]
    size = len(whole.modules["wte"].positions)
    assert size > len(cut.modules["wte"].positions)
    assert cut.cut_count == size - len(cut.modules["wte"].positions)
    g, _ = decomposed.truth(PROMPTS[0])["wte"]
    for position, importance in zip(cut.modules["wte"].positions,
                                    cut.modules["wte"].importances, strict=True):
        assert importance == pytest.approx(g[position].max(), abs=TOLERANCE)


def test_a_text_and_its_token_ids_are_the_same_prompt(client):
    by_text, by_ids = (
        next(iter(client.importances([prompt], decomposition="other")))
        for prompt in (" ".join(map(word, PROMPTS[2])), PROMPTS[2]))
    assert by_text.tokens == by_ids.tokens
    assert by_text.modules == by_ids.modules
    # The logistic function is above 0 everywhere.
    for module in client.decomposition("other").modules:
        told = by_ids.modules[module.name]
        assert len(told.positions) == len(PROMPTS[2]) * module.subcomponent_count


def test_many_prompts_are_those_alone(client):
    generator = np.random.default_rng(1)
    prompts = [list(map(int, generator.integers(0, 50, 1 + i % 12))) for i in range(300)]
    together = list(client.importances(prompts, decomposition="main", threshold=0.5))
    assert [answer.prompt for answer in together] == list(range(300))
    for number in (0, 123, 299):
        alone = next(client.importances([prompts[number]], decomposition="main",
                                        threshold=0.5))
        for name, lists in alone.modules.items():
            same = together[number].modules[name]
            assert (same.positions, same.subcomponents) == (lists.positions,
                                                            lists.subcomponents)
            assert same.importances == pytest.approx(lists.importances, abs=TOLERANCE)


def wait_until_idle(spard):
    end = time.monotonic() + PATIENCE
    while spard.live_calls() > 0:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_closed_generator_cancels_the_call(client, decomposed):
    answers = client.importances([PROMPTS[0]] * 1024, decomposition="other")
    next(answers)
    answers.close()
    wait_until_idle(decomposed.spard)
    assert next(client.importances([[1]], decomposition="main")).tokens


def node_names(graph):
    """(module, position, subcomponent) to its causal importance."""
    names = {}
    for node in graph.nodes:
        if node.kind == attributions.ATTRIBUTION_NODE_KIND_SUBCOMPONENT:
            site = graph.header.sites[node.site].name
            names[site, node.position, node.index] = node.importance
    return names


def test_a_graph_of_subcomponents_keeps_its_identities(client):
    tokens = PROMPTS[0]
    alive = {}
    for name, lists in next(client.importances(
            [tokens], decomposition="main", threshold=THRESHOLD)).modules.items():
        alive.update({(name, position, number): g for position, number, g in zip(
            lists.positions, lists.subcomponents, lists.importances, strict=True)})
    for norm in ("full", "frozen"):
        graph = client.attribute(
            tokens, decomposition="main", norm=norm,
            node_rule={"min_importance": THRESHOLD}, query={"path_count": 3})
        assert graph.header.decomposition == "main"
        nodes = node_names(graph)
        assert nodes.keys() == alive.keys()
        assert all(nodes[key] == pytest.approx(alive[key], abs=TOLERANCE) for key in nodes)
        assert len(nodes) > 20
        assert graph.summary.stream.target_count > 0
        assert graph.summary.stream.relative < 1e-4
        assert graph.summary.values.target_count > 0
        assert graph.summary.values.relative < 1e-4
        assert len(graph.summary.answer.paths) == 3
        assert len(graph.summary.answer.shares) == len(graph.nodes)
        edges = sum(len(block.values) for block in graph.edges)
        assert edges == graph.summary.edge_count > 0


def test_a_graph_may_be_of_named_nodes(client):
    node = {"part": "up", "layer": 1, "position": 2, "index": 0}
    graph = client.attribute(PROMPTS[2], decomposition="main", nodes=[node],
                             query={"node": node})
    assert list(node_names(graph)) == [("h.1.mlp.c_fc", 2, 0)]
    target = graph.nodes[graph.summary.answer.target_node]
    assert (target.position, target.index) == (2, 0)
    with pytest.raises(spar.Error) as error:
        client.attribute(PROMPTS[2], decomposition="main", nodes=[{**node, "index": 99}])
    assert (error.value.reason, error.value.field) == ("UNKNOWN_NODE", "options.nodes[0]")
    with pytest.raises(spar.Error) as error:
        client.attribute(PROMPTS[2], decomposition="absent")
    assert error.value.reason == "DECOMPOSITION_NOT_FOUND"
    with pytest.raises(TypeError, match="min_importanse"):
        client.attribute(PROMPTS[2], node_rule={"min_importanse": 0.5})


def test_a_graph_without_a_decomposition_has_heads_and_neurons(client):
    graph = client.attribute(PROMPTS[2], model="bare", logit_rule={"max_count": 2})
    kinds = {node.kind for node in graph.nodes}
    assert attributions.ATTRIBUTION_NODE_KIND_HEAD in kinds
    assert attributions.ATTRIBUTION_NODE_KIND_NEURON in kinds
    assert graph.summary.stream.relative < 1e-4


def prompt(ids=(1, 2), **fields):
    return models.Prompt(tokens=models.TokenIds(ids=ids), **fields)


def importances(**fields):
    return decompositions.ImportancesRequest(
        **{"name": MAIN, "prompts": [prompt()], **fields})


def listing(**fields):
    return decompositions.ListDecompositionsRequest(**{"parent": "models/tiny", **fields})


def getting(**fields):
    return decompositions.GetDecompositionRequest(**{"name": MAIN, **fields})


NAME, OPTION = "BAD_RESOURCE_NAME", "OPTION_OUT_OF_RANGE"
REFUSED = [
    (listing(parent=""), NAME, "parent"),
    (listing(parent="tiny"), NAME, "parent"),
    (listing(parent=MAIN), NAME, "parent"),
    (listing(page_size=-1), "PAGE_SIZE_OUT_OF_RANGE", "page_size"),
    (listing(page_token="zz"), "BAD_PAGE_TOKEN", "page_token"),
    (getting(name=""), NAME, "name"),
    (getting(name="models/tiny"), NAME, "name"),
    (getting(name="models/tiny/decompositions/"), NAME, "name"),
    (getting(name="models/../decompositions/main"), NAME, "name"),
    (getting(name=MAIN + "/x"), NAME, "name"),
    (getting(name="models/tiny/decompositions/" + "a" * 5000), NAME, "name"),
    (getting(view=99), OPTION, "view"),
    (getting(modules=["wte", "lm_head"]), "UNKNOWN_MODULE", "modules[1]"),
    (getting(modules=["wte", "wte"]), "DUPLICATE_MODULE", "modules[1]"),
    (importances(name="main"), NAME, "name"),
    (importances(prompts=[]), "EMPTY_PROMPT", "prompts"),
    (importances(prompts=[prompt(), prompt(())]), "EMPTY_PROMPT", "prompts[1]"),
    (importances(prompts=[models.Prompt()]), "EMPTY_PROMPT", "prompts[0]"),
    (importances(prompts=[prompt([1] * 13)]), "PROMPT_TOO_LONG", "prompts[0]"),
    (importances(prompts=[prompt([1] * 25)]), "PROMPT_TOO_LONG", "prompts[0]"),
    (importances(prompts=[prompt(), prompt([1, 50])]), "TOKEN_OUT_OF_RANGE",
     "prompts[1].tokens.ids[1]"),
    (importances(prompts=[prompt([-1])]), "TOKEN_OUT_OF_RANGE", "prompts[0].tokens.ids[0]"),
    (importances(prompts=[models.Prompt(text="w " * 131073)]), "TEXT_TOO_LONG",
     "prompts[0].text"),
    (importances(prompts=[prompt([1])] * 1025), "TOO_MANY_PROMPTS", "prompts"),
    (importances(threshold=-0.1), OPTION, "threshold"),
    (importances(threshold=1.1), OPTION, "threshold"),
    (importances(threshold=float("nan")), OPTION, "threshold"),
    (importances(max_subcomponent_count=-1), OPTION, "max_subcomponent_count"),
    (importances(modules=["lm_head"]), "UNKNOWN_MODULE", "modules[0]"),
    (importances(modules=["wte", "wte"]), "DUPLICATE_MODULE", "modules[1]"),
]
ABSENT = [
    (listing(parent="models/absent"), "MODEL_NOT_FOUND"),
    (getting(name="models/absent/decompositions/main"), "MODEL_NOT_FOUND"),
    (getting(name="models/tiny/decompositions/absent"), "DECOMPOSITION_NOT_FOUND"),
    (getting(name="models/bare/decompositions/main"), "DECOMPOSITION_NOT_FOUND"),
    (importances(name="models/tiny/decompositions/absent"), "DECOMPOSITION_NOT_FOUND"),
]


def send(client, request):
    name = type(request).__name__.removesuffix("Request")
    try:
        response = getattr(client._decompositions, name)(request, timeout=PATIENCE)
        return list(response) if name == "Importances" else response
    except grpc.RpcError as error:
        raise Error.of(error) from None


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case[2]}-{case[1]}")
def test_names_the_field_at_fault(client, case):
    request, reason, field = case
    with pytest.raises(spar.Error) as error:
        send(client, request)
    assert (error.value.code, error.value.reason, error.value.field) == (
        "INVALID_ARGUMENT", reason, field)
    assert error.value.message


@pytest.mark.parametrize("case", ABSENT, ids=lambda case: case[1])
def test_says_what_is_absent(client, case):
    request, reason = case
    with pytest.raises(spar.Error) as error:
        send(client, request)
    assert (error.value.code, error.value.reason) == ("NOT_FOUND", reason)
    assert "absent" in error.value.message or "bare" in error.value.message


def test_one_text_is_no_list_of_prompts(client):
    with pytest.raises(TypeError, match="sequence of prompts"):
        client.importances("w1 w2", decomposition="main")


def test_survives_bytes_that_are_no_message(decomposed):
    with grpc.insecure_channel(decomposed.address, [("grpc.enable_http_proxy", 0)]) as channel:
        path = "/spar.v1.DecompositionService"
        for data in (b"\xff" * 100, b"\x0a\x02\xff\xfe", b"\x08\x01"):
            for method in ("ListDecompositions", "GetDecomposition"):
                with pytest.raises(grpc.RpcError):
                    channel.unary_unary(f"{path}/{method}")(data, timeout=PATIENCE)
            with pytest.raises(grpc.RpcError):
                list(channel.unary_stream(f"{path}/Importances")(data, timeout=PATIENCE))
    assert decomposed.spard.is_alive()


# The command line.


@pytest.fixture
def ask(decomposed):
    def run(*arguments, **keywords):
        return spar_program("--server", decomposed.address, *arguments, **keywords)
    return run


def test_the_command_line_lists_decompositions(ask):
    run = ask("decompositions")
    assert run.returncode == 0, run.stderr
    heads = [line for line in run.stdout.splitlines() if not line.startswith(" ")]
    assert heads == [MAIN, "models/tiny/decompositions/other"]
    assert "\x1b" not in run.stdout
    assert ask("decompositions", "tiny").stdout == run.stdout
    assert ask("--model", "tiny", "decompositions").stdout == run.stdout
    assert ask("decompositions", "bare").stdout == ""
    one = ask("decompositions", "tiny/main")
    assert one.stdout.startswith(run.stdout[:run.stdout.index("models/tiny", 1)])
    assert "\n  h.1.mlp.down_proj " in one.stdout
    full = json.loads(ask("decompositions", MAIN, "--norms", "--output", "json").stdout)
    assert len(full["modules"][0]["subcomponentNorms"]) == full["modules"][0][
        "subcomponentCount"]
    assert ask("decompositions", "tiny/absent").returncode == 4
    assert f"  {MAIN}, " in ask("models").stdout


def test_the_command_line_shows_importances(ask, client):
    run = ask("importances", "tiny/main", "w7 w3 w41", "w5", "--threshold", "0.25")
    assert run.returncode == 0, run.stderr
    assert "\x1b" not in run.stdout
    first, second = run.stdout.split("prompt  ")[1:]
    assert first.startswith("w7 w3 w41\n")
    assert second.startswith("w5\n")
    told = next(client.importances([[7, 3, 41]], decomposition="main", threshold=0.25))
    total = sum(len(lists.positions) for lists in told.modules.values())
    assert f"\nalive   {total} at all positions of {len(told.modules)} modules\n" in first
    name, lists = next(item for item in told.modules.items() if item[1].positions)
    position = lists.positions[0]
    entries = sorted(
        ((g, number, a) for at, number, g, a in zip(
            lists.positions, lists.subcomponents, lists.importances, lists.activations,
            strict=True) if at == position), key=lambda entry: (-entry[0], entry[1]))
    table = first.split(f"\n{name}  ")[1].splitlines()
    assert table[0].startswith(f"{len(set(lists.subcomponents))} of ")
    shown = ", ".join(f"{number} {g:.2f} ({a:+.3g})" for g, number, a in entries)
    assert table[1].split() == [str(position), f'"{told.tokens[position].text}"',
                                *shown.split()]


def test_the_command_line_reads_a_prompt_a_line(ask):
    run = ask("--model", "tiny", "importances", "main", "-", "--tokens", "5", "--module", "wte",
              stdin="w7 w3\nw41\n")
    assert run.returncode == 0, run.stderr
    prompts = [part.splitlines()[0] for part in run.stdout.split("prompt  ")[1:]]
    assert prompts == ["w7 w3", "w41", "w5"]


def test_the_command_line_writes_json_and_names_mistakes(ask):
    run = ask("importances", "tiny/main", "--tokens", "1,2", "--top-k", "1", "--output", "json")
    assert run.returncode == 0, run.stderr
    start, answer = [json.loads(line) for line in run.stdout.splitlines()]
    assert start["start"]["name"] == MAIN
    assert answer["importances"]["tokenCount"] == 2
    assert int(answer["importances"]["cutCount"]) > 0
    run = ask("importances", "tiny/main", "w1", "--threshold", "2")
    assert run.returncode == 4
    assert "OPTION_OUT_OF_RANGE at threshold" in run.stderr
    run = ask("importances", "tiny/main", "--tokens", "1,999")
    assert "TOKEN_OUT_OF_RANGE at prompts[0].tokens.ids[1]" in run.stderr
    assert ask("importances", "tiny/main").returncode == 2
