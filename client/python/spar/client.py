"""The gRPC client. Messages are those of proto/spar/v1, whose comments say
what every field means; margins are logits, probabilities natural logarithms."""

import json

import grpc

from spar import attribution, importances
from spar.errors import Error
from spar.request_fields import message as message_of
from spar.search import Search

try:
    from spar._generated.spar.v1 import ablation_service_pb2 as ablations
    from spar._generated.spar.v1 import ablation_service_pb2_grpc as ablation_stubs
    from spar._generated.spar.v1 import attribution_pb2 as attributions
    from spar._generated.spar.v1 import decomposition_service_pb2 as decompositions
    from spar._generated.spar.v1 import decomposition_service_pb2_grpc as decomposition_stubs
    from spar._generated.spar.v1 import evaluation_pb2 as evaluations
    from spar._generated.spar.v1 import explanation_service_pb2 as explanations
    from spar._generated.spar.v1 import explanation_service_pb2_grpc as explanation_stubs
    from spar._generated.spar.v1 import model_service_pb2 as models
    from spar._generated.spar.v1 import model_service_pb2_grpc as model_stubs
    from spar._generated.spar.v1 import pruning_service_pb2 as prunings
    from spar._generated.spar.v1 import pruning_service_pb2_grpc as pruning_stubs
    from spar._generated.spar.v1 import training_pb2 as trainings
    from spar.evaluation import Evaluation
    from spar.nodes import refs_of_explanation
    from spar.pruning import Pruning
    from spar.training import Training
except ImportError as error:
    raise ImportError(
        "the generated stubs are missing: run client/python/generate.py"
    ) from error

__all__ = ["Client", "Error", "Evaluation", "Pruning", "Search", "Training",
           "ablations", "attributions", "decompositions", "evaluations", "explanations",
           "models", "prunings", "trainings"]

_MAX_RECEIVE_BYTES = 64 << 20


class Client:
    """One channel to one server. Thread-safe. A context manager.

    Args:
      target: gRPC target, for example "127.0.0.1:7430".
      model: name of the model that calls use when they name none, with or
        without "models/"; by default the server's only model.
      timeout: seconds that a unary call may take.

    Every method raises spar.Error with the server's code, reason, field and
    metadata; code "UNAVAILABLE" when the server cannot be reached and
    "DEADLINE_EXCEEDED" after the timeout.
    """

    def __init__(self, target="127.0.0.1:7430", *, model=None, timeout=30.0):
        options = [("grpc.max_receive_message_length", _MAX_RECEIVE_BYTES)]
        if target.startswith(("127.", "localhost", "[::1]")):
            # A web proxy of the environment cannot reach this machine.
            options.append(("grpc.enable_http_proxy", 0))
        self._channel = grpc.insecure_channel(target, options)
        self._models = model_stubs.ModelServiceStub(self._channel)
        self._explanations = explanation_stubs.ExplanationServiceStub(self._channel)
        self._ablations = ablation_stubs.AblationServiceStub(self._channel)
        self._decompositions = decomposition_stubs.DecompositionServiceStub(self._channel)
        self._prunings = pruning_stubs.PruningServiceStub(self._channel)
        self._model = _model_name(model) if model else None
        self._timeout = timeout

    def close(self):
        """Ends every call in flight."""
        self._channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def models(self):
        """All resident models, as a list of Model messages sorted by name."""
        return self._pages(self._models.ListModels, models.ListModelsRequest(), "models")

    def tokenize(self, text, *, model=None, ignore_special_tokens=False):
        """The tokens of a text: a list of Token messages (id, text)."""
        request = models.TokenizeRequest(
            model=self._name(model), text=text,
            ignore_special_tokens=ignore_special_tokens)
        return list(self._call(self._models.Tokenize, request).tokens)

    def predict(self, prompt, *, model=None, top_k=0, every_position=False,
                ignore_special_tokens=False):
        """What the model says next.

        Args:
          prompt: text, or a sequence of token ids.
          top_k: candidates per position; 0 means 5.
          every_position: after every position, not only the last.

        Returns a PredictResponse: `prompt`, the P tokens as the model read
        them, and `predictions`, 1 or P entries with `top` (best first; logit
        and log-probability).
        """
        request = models.PredictRequest(
            model=self._name(model), prompt=_prompt(prompt, ignore_special_tokens),
            top_k=top_k, every_position=every_position)
        return self._call(self._models.Predict, request)

    def crystallize(self, prompt, *, model=None, target=None, timeout=None,
                    ignore_special_tokens=False, **options):
        """Searches for the few units and positions that still say the token.

        Args:
          prompt: text, or a sequence of token ids.
          target: the token to explain, as text (exactly one token) or id; by
            default the model's own prediction.
          timeout: seconds until the call fails; None for none. To get the best
            set found in a given time use max_duration.
          options: fields of CrystallizeOptions by name. Enums may be words:
            mode="sufficient", unit_scheme="head", reference="mean",
            position_mode="reindex"; max_duration is in seconds. With
            decomposition="name" unit_scheme may be "subcomponent" or "node",
            each also with "+delta". attack_step_count above 0 is robust mode,
            with attack_step_size (in masks) and attack_restart_count.
            initial_unit_ids are units to begin from, for example those of an
            explanation: `itertools.accumulate(explanation.unit_id_deltas)`.

        Returns a Search: iterate it for the events, then read `explanation`.

        Errors beside those of a prompt: OPTION_OUT_OF_RANGE,
        DECOMPOSITION_REQUIRED, DECOMPOSITION_NOT_WANTED, BAD_INITIAL_UNIT,
        TOO_MANY_UNITS, NO_REFERENCE_PROMPTS, TOO_MANY_SEARCHES. TypeError for an
        option that does not exist.
        """
        request = explanations.CrystallizeRequest(
            model=self._name(model), prompt=_prompt(prompt, ignore_special_tokens),
            options=message_of(explanations.CrystallizeOptions, options))
        if isinstance(target, str):
            request.target_text = target
        elif target is not None:
            request.target_id = target
        return Search(self._explanations.Crystallize(request, timeout=timeout))

    def ablate(self, prompt, *, off=(), sweep=(), cumulative=False, masks="target",
               model=None, target=None, timeout=None, ignore_special_tokens=False,
               **fields):
        """Runs the model with parts of it off, scaled or set.

        Args:
          prompt: text, or a sequence of token ids.
          off: parts changed in every run. Each is a name such as
            "h.1.attn#head=2" or "h.1.mlp.c_fc#subcomponent=0-9", which is then
            off, or a dict of Intervention's fields (part, position, factor,
            offset).
          sweep: the same, one run for each; `cumulative`: the first, the first
            two, and so on.
          masks: "target", "unmasked", "causal_importance", "rounded",
            "stochastic", "adversarial" or "none".
          target: the token whose margin is told, as text or id.
          fields: other fields of AblateRequest by name, such as decomposition,
            threshold, delta, seed, every_position, top_k; messages as dicts:
            generation={"max_token_count": 20}.

        Yields AblateResponse messages: the start, then rows as they are
        computed. Closing the generator cancels the call on the server.
        """
        request = ablations.AblateRequest(
            model=self._name(model), prompt=_prompt(prompt, ignore_special_tokens),
            strategy=ablations.MaskStrategy.Value(f"MASK_STRATEGY_{masks.upper()}"),
            interventions=[_intervention(part) for part in off],
            swept=[_intervention(part) for part in sweep],
            sweep=ablations.SWEEP_CUMULATIVE if cumulative else ablations.SWEEP_EACH,
            **fields)
        if isinstance(target, str):
            request.target_text = target
        elif target is not None:
            request.target_id = target
        return _responses(self._ablations.Ablate(request, timeout=timeout))

    def attribute(self, prompt, *, decomposition="", nodes=None, query=None, model=None,
                  timeout=None, ignore_special_tokens=False, **options):
        """The attribution graph of one run: how its parts moved each other.

        Args:
          prompt: text, or a sequence of token ids.
          decomposition: name of one of the model's decompositions, whose
            subcomponents are then nodes; "": heads and neurons are.
          nodes: the nodes, where no rule is to choose them: a sequence of
            AttributionNodeRef or dicts of its fields, such as
            Pruning.node_refs(row); or an Explanation, whose units become nodes,
            those of all positions at each of T. Deltas and the embedding are in
            every graph, as vectors. At most 16,384.
          query: fields of AttributionQuery as a dict, for example
            {"logit": {"token_text": "tokyo"}, "path_count": 5}.
          timeout: seconds until the call fails; None for none.
          options: fields of AttributeOptions by name, messages as dicts. Enums
            may be words: norm="frozen", run="listed", and in nodes part="up".

        Returns an AttributionGraph: `header` (sites, the prompt, the options in
        use), `nodes` [N], `edges` (blocks of edges by target; `values` are in
        units of the target's activation, logits natural), and `summary` (what
        was cut, the residuals of the two identities, the answer of the query
        with `shares` and `effects` [N]). `spar graph` reads its
        SerializeToString().

        Errors beside those of a prompt: DECOMPOSITION_NOT_FOUND, UNKNOWN_NODE,
        NODE_NOT_IN_GRAPH, GRAPH_TOO_LARGE, TOO_MANY_GRAPHS. TypeError for an
        option that does not exist, ValueError for an Explanation that cannot be
        nodes.
        """
        if isinstance(nodes, explanations.Explanation):
            modules = (self.decomposition(decomposition, model=model).modules
                       if decomposition else ())
            nodes = refs_of_explanation(nodes, modules)
        if nodes is not None:
            options["nodes"] = list(nodes)
        request = attributions.AttributeRequest(
            model=self._name(model), prompt=_prompt(prompt, ignore_special_tokens),
            decomposition=decomposition,
            options=message_of(attributions.AttributeOptions, options),
            query=message_of(attributions.AttributionQuery, query or {}))
        return attribution.gather(
            attributions, _responses(self._explanations.Attribute(request, timeout=timeout)))

    def decompositions(self, *, model=None):
        """The decompositions of a model, as a list of Decomposition messages
        sorted by name, without their modules."""
        request = decompositions.ListDecompositionsRequest(parent=self._name(model))
        return self._pages(self._decompositions.ListDecompositions, request, "decompositions")

    def decomposition(self, name, *, model=None, view="modules", modules=()):
        """One Decomposition message.

        Args:
          name: "NAME", or "models/MODEL/decompositions/NAME".
          view: "basic", without modules; "modules"; or "full", with the norm of
            every subcomponent, [C] for each module.
          modules: names of those to tell; all by default.

        Errors: DECOMPOSITION_NOT_FOUND, UNKNOWN_MODULE, TOO_MANY_NORMS.
        """
        request = decompositions.GetDecompositionRequest(
            name=self._decomposition_name(name, model), modules=modules,
            view=decompositions.DecompositionView.Value(f"DECOMPOSITION_VIEW_{view.upper()}"))
        return self._call(self._decompositions.GetDecomposition, request).decomposition

    def importances(self, prompts, *, decomposition, model=None, threshold=0.0,
                    max_subcomponent_count=0, modules=(), timeout=None,
                    ignore_special_tokens=False):
        """Which subcomponents each prompt needs, and how active they are.

        Args:
          prompts: a sequence of up to 1,024 prompts, each text or a sequence of
            token ids; 32,768 tokens together.
          decomposition: "NAME", or "models/MODEL/decompositions/NAME".
          threshold: in [0, 1]; told is what has a causal importance above it.
          max_subcomponent_count: the most of a module at one position, the most
            important; 0 means all.
          modules: names of those to tell; all by default.
          timeout: seconds until the call fails; None for none.

        Yields a spar.importances.PromptImportances for each prompt, in order, as
        they come. Closing the generator cancels the call on the server.

        Errors name their field: "prompts[3].tokens.ids[7]". Beside those of a
        prompt: DECOMPOSITION_NOT_FOUND, UNKNOWN_MODULE, TOO_MANY_PROMPTS,
        IMPORTANCES_TOO_LARGE, TOO_MANY_CALLS.
        """
        if isinstance(prompts, str):
            raise TypeError("prompts is one text: want a sequence of prompts")
        request = decompositions.ImportancesRequest(
            name=self._decomposition_name(decomposition, model),
            prompts=[_prompt(prompt, ignore_special_tokens) for prompt in prompts],
            threshold=threshold, max_subcomponent_count=max_subcomponent_count,
            modules=modules)
        return importances.read(
            _responses(self._decompositions.Importances(request, timeout=timeout)))

    def prune(self, prompts, *, decomposition, coefficients=(), crystallize=None, model=None,
              timeout=None, ignore_special_tokens=False, **options):
        """Optimises causal importances anew for prompts, at several prices, until
        little but what the target needs is left (VPD, section 5.2).

        Args:
          prompts: a sequence of up to 256 prompts, each text, a sequence of token
            ids, or a dict: "prompt", one of these; "target", the token to be
            said, as text or id, by default the model's own prediction; and
            "position", after which it is said, by default the last.
          decomposition: "NAME", one of the model's.
          coefficients: up to 64 prices of importance in [0, 1e6]; each prompt at
            each price is a row, all optimised side by side. Empty: 0.001.
          crystallize: a dict of CrystallizeOptions' fields as crystallize takes
            them, {} for the defaults: a search from each row's nodes then ends in
            a certified set.
          timeout: seconds until the call fails; None for none.
          options: fields of PruneOptions by name. Enums may be words:
            loss="divergence", masks="causal_importance", start="ones",
            rate_shape="cosine"; messages are dicts: adversary={} with its
            defaults, norm={"power": 0.5}.

        Returns a Pruning: iterate it for progress, rows and explanations, then
        read `rows`, `explanations` and `summary`.

        Errors name their field: "prompts[3].target_text". Beside those of a
        prompt: DECOMPOSITION_NOT_FOUND, NO_DECOMPOSITION, OPTION_OUT_OF_RANGE,
        POSITION_OUT_OF_RANGE, NOT_ONE_TOKEN, TOO_MANY_PROMPTS, TOO_MANY_CALLS,
        PRUNING_TOO_LARGE, OUT_OF_DEVICE_MEMORY; of `crystallize` as crystallize
        has them. TypeError for an option that does not exist.
        """
        if isinstance(prompts, str):
            raise TypeError("prompts is one text: want a sequence of prompts")
        request = prunings.PruneRequest(
            model=self._name(model), decomposition=decomposition,
            prompts=[_prune_prompt(prompt, ignore_special_tokens) for prompt in prompts],
            coefficients=coefficients, options=message_of(prunings.PruneOptions, options))
        if crystallize is not None:
            request.crystallize.CopyFrom(
                message_of(explanations.CrystallizeOptions, crystallize))
        return Pruning(self._prunings.Prune(request, timeout=timeout))

    def evaluate(self, name, prompts, *, attack=None, model=None, timeout=None,
                 ignore_special_tokens=False, **options):
        """Judges a decomposition: what runs under masks say, how sparse its
        importances are, what an adversary within the masks can do.

        Args:
          name: "NAME", one of the model's, or "models/MODEL/decompositions/NAME".
          prompts: a sequence of up to 4,096 prompts, each text or a sequence of
            token ids; of at least 2 tokens each. With row_length they are cut
            into rows and may be longer than the model's context.
          attack: a dict of EvaluationAttack's fields, {} for the defaults; None
            for no attacks. {"step_counts": [1, 5], "scopes": ["per_datapoint"]}
          timeout: seconds until the call fails; None for none.
          options: fields of EvaluationOptions by name: row_length,
            batch_row_count, sweep_thresholds, sample_count, seed, ..., and
            subsets=[{"name": "mlps", "modules": [...]}].

        Returns an Evaluation: iterate it for progress and parts as they come, or
        read `reconstructions`, `sparsity`, `attack_curves`, ...

        Errors beside those of a prompt: DECOMPOSITION_NOT_FOUND, PROMPT_TOO_SHORT,
        OPTION_OUT_OF_RANGE, UNKNOWN_MODULE, DUPLICATE_MODULE, TOO_MANY_PROMPTS,
        TOO_MANY_CALLS, EVALUATION_TOO_LARGE, OUT_OF_DEVICE_MEMORY. TypeError for
        an option that does not exist.
        """
        if isinstance(prompts, str):
            raise TypeError("prompts is one text: want a sequence of prompts")
        if attack is not None:
            options["attack"] = attack
        request = evaluations.EvaluateRequest(
            name=self._decomposition_name(name, model),
            prompts=[_prompt(prompt, ignore_special_tokens) for prompt in prompts],
            options=message_of(evaluations.EvaluationOptions, options))
        return Evaluation(self._decompositions.Evaluate(request, timeout=timeout))

    def train(self, config, *, model=None, resume=False, timeout=None):
        """Trains a decomposition of a model on the server, which writes it below
        its training folder.

        Args:
          config: the configuration of docs/training.md without
            pretrained_model_path, as a dict or as JSON text. Its paths are of the
            server's training folder.
          resume: go on from the latest checkpoint in out_dir, where there is one.
          timeout: seconds until the training ends, with a checkpoint; None for
            none.

        Returns a Training: iterate it for progress and checkpoints as they come,
        or read `summary`.

        Errors: MODEL_NOT_FOUND, TRAINING_DISABLED, BAD_TRAIN_CONFIG with the field
        at fault, PATH_OUTSIDE_FOLDER, BAD_DATA, CHECKPOINT_EXISTS, BAD_CHECKPOINT,
        OUT_DIR_IN_USE, TOO_MANY_CALLS, TRAINING_TOO_LARGE, TRAINING_DIVERGED.
        """
        text = config if isinstance(config, str) else json.dumps(config)
        request = trainings.TrainRequest(
            model=self._name(model), config_json=text, resume=resume)
        return Training(self._decompositions.Train(request, timeout=timeout))

    def verify(self, certificate_json, *, model=None, timeout=600.0):
        """Has the server re-check a certificate (Certificate.canonical_json).

        Returns a VerifyResponse; a certificate that does not hold is a
        `verdict`, not an error.
        """
        request = explanations.VerifyRequest(
            model=self._name(model), certificate_json=certificate_json)
        return self._call(self._explanations.Verify, request, timeout)

    def _call(self, method, request, timeout=None):
        try:
            return method(request, timeout=timeout or self._timeout)
        except grpc.RpcError as error:
            raise Error.of(error) from None

    def _pages(self, method, request, field):
        """What all pages of a list hold."""
        found = []
        while True:
            response = self._call(method, request)
            found.extend(getattr(response, field))
            request.page_token = response.next_page_token
            if not request.page_token:
                return found

    def _decomposition_name(self, name, model):
        if "/" in name:
            return name
        return f"{self._name(model)}/decompositions/{name}"

    def _name(self, model):
        if model:
            return _model_name(model)
        if self._model is None:
            names = [found.name for found in self.models()]
            if len(names) != 1:
                listed = ", ".join(names) or "none"
                raise Error(
                    "FAILED_PRECONDITION",
                    f"name a model: the server does not hold exactly one but {listed}",
                    "SEVERAL_MODELS" if names else "NO_MODEL", "model",
                    {"models": listed})
            self._model = names[0]
        return self._model


def _intervention(part):
    fields = {"part": part} if isinstance(part, str) else part
    return ablations.Intervention(**fields)


def _responses(call):
    try:
        yield from call
    except grpc.RpcError as error:
        raise Error.of(error) from None
    finally:
        call.cancel()


def _model_name(name):
    return name if name.startswith("models/") else f"models/{name}"


def _prompt(prompt, ignore_special_tokens):
    if isinstance(prompt, str):
        return models.Prompt(text=prompt, ignore_special_tokens=ignore_special_tokens)
    return models.Prompt(tokens=models.TokenIds(ids=prompt),
                         ignore_special_tokens=ignore_special_tokens)


def _prune_prompt(prompt, ignore_special_tokens):
    fields = dict(prompt) if isinstance(prompt, dict) else {"prompt": prompt}
    made = prunings.PrunePrompt(prompt=_prompt(fields.pop("prompt"), ignore_special_tokens))
    target = fields.pop("target", None)
    if isinstance(target, str):
        made.target_text = target
    elif target is not None:
        made.target_id = target
    position = fields.pop("position", None)
    if position is not None:
        made.position = position
    if fields:
        raise TypeError(f"a prompt has no {sorted(fields)}: prompt, target, position")
    return made
