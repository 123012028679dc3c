"""Loads a snapshot folder of any family as an ExactModel."""

from . import checkpoint, exact_simple, exact_transformers


def open_model(folder):
    config = checkpoint.read_config(folder)
    tensors = checkpoint.read_tensors(folder)
    if config.get("model_type") in exact_simple.FAMILIES:
        weights = checkpoint.weights_of(config, tensors)
        return exact_simple.SimpleModel(
            config, {name: tensor.to_float64() for name, tensor in weights.items()}
        )
    model = exact_transformers.TransformersModel(folder)
    prefix = model.attention_modules[0].split(".")[0] + "."
    if not any(name.startswith(prefix) for name in tensors):
        # A checkpoint of the bare decoder: its own names have no prefix.
        model.attention_modules = [n[len(prefix) :] for n in model.attention_modules]
        model.mlp_modules = [n[len(prefix) :] for n in model.mlp_modules]
    return model
