#include "models/snapshot/harmless_fields.h"

#include <algorithm>

namespace spar::models {
namespace {

// Provenance, training, task heads, storage, and how a library runs the model.
constexpr std::string_view kNever[] = {
    // Provenance.
    "_commit_hash",
    "_name_or_path",
    "architectures",
    "finetuning_task",
    "is_llama_config",
    "model_type",
    "name_or_path",
    "tokenizer_class",
    "transformers.js_config",
    "transformers_version",
    "unsloth_fixed",
    "unsloth_version",
    // Training.
    "attention_dropout",
    "attention_probs_dropout_prob",
    "attn_pdrop",
    "classifier_dropout",
    "dropout",
    "embd_pdrop",
    "gradient_checkpointing",
    "hidden_dropout",
    "hidden_dropout_prob",
    "initializer_range",
    "resid_pdrop",
    // Tokens that the tokenizer and the caller deal with.
    "bos_token_id",
    "decoder_start_token_id",
    "eos_token_id",
    "pad_token_id",
    "sep_token_id",
    // Task heads, which a language model lacks.
    "id2label",
    "label2id",
    "num_labels",
    "problem_type",
    "summary_activation",
    "summary_first_dropout",
    "summary_proj_to_labels",
    "summary_type",
    "summary_use_proj",
    "task_specific_params",
    // How weights are stored or computed with, not what is computed.
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_flash_attn_2_enabled",
    "attn_implementation",
    "chunk_size_feed_forward",
    "dtype",
    "flash_attention",
    "output_attentions",
    "output_hidden_states",
    "output_past",
    "pretraining_tp",
    "return_dict",
    "torch_dtype",
    "torchscript",
    "use_bfloat16",
    "use_cache",
    "use_flash_attention",
    // Text generation.
    "bad_words_ids",
    "begin_suppress_tokens",
    "diversity_penalty",
    "do_sample",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "length_penalty",
    "max_length",
    "max_new_tokens",
    "min_length",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "output_scores",
    "prefix",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict_in_generate",
    "suppress_tokens",
    "temperature",
    "tf_legacy_loss",
    "top_k",
    "top_p",
    "typical_p",
    // A decoder is one whether or not it says so.
    "is_decoder",
};

// Fields that matter, but not when false.
constexpr std::string_view kUnlessTrue[] = {
    "add_cross_attention",
    "alibi",
    "attention_bias",
    "is_encoder_decoder",
    "mlp_bias",
    "qk_layernorm",
    "qk_norm",
    "rope_interleaved",
    "tie_encoder_decoder",
    "use_mrope",
    "use_qk_norm",
    "use_sliding_window",
};

// Fields that matter, but not when empty.
constexpr std::string_view kUnlessFilled[] = {
    "per_layer_config",
    "pruned_heads",
};

template <size_t kSize>
bool Holds(const std::string_view (&names)[kSize], std::string_view name) {
  return std::ranges::find(names, name) != std::end(names);
}

}  // namespace

bool IsHarmlessField(std::string_view field, const nlohmann::json& value) {
  if (Holds(kNever, field)) return true;
  if (Holds(kUnlessTrue, field)) return value == false;
  if (Holds(kUnlessFilled, field))
    return value.is_structured() && value.empty();
  return false;
}

}  // namespace spar::models
