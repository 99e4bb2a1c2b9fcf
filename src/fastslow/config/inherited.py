"""Bounds of TRL's and transformers' numbers that no group of ours declares.

The libraries check few of them: a value without a meaning trains on in silence, or fails in words that name another
setting.
"""

from __future__ import annotations

from fastslow.core.settings import Spec
from fastslow.policy.settings import LEAST_TEMPERATURE

COUNT = Spec(at_least=1)
NOT_NEGATIVE = Spec(at_least=0)
SHARE = Spec(at_least=0, at_most=1)
MOST_WORKERS = 1024
"""Processes that load data; each is started."""

BOUNDS: dict[str, Spec] = {
    # optimiser
    "weight_decay": NOT_NEGATIVE,
    "adam_beta1": SHARE,
    "adam_beta2": SHARE,
    "adam_epsilon": Spec(above=0),  # at 0, a weight that never had a gradient becomes 0 / 0
    "neftune_noise_alpha": NOT_NEGATIVE,
    "label_smoothing_factor": SHARE,
    # loss
    "delta": Spec(above=0),
    "sapo_temperature_neg": Spec(at_least=LEAST_TEMPERATURE),
    "sapo_temperature_pos": Spec(at_least=LEAST_TEMPERATURE),
    "vespo_k_pos": NOT_NEGATIVE,
    "vespo_k_neg": NOT_NEGATIVE,
    "vespo_lambda_pos": NOT_NEGATIVE,
    "vespo_lambda_neg": NOT_NEGATIVE,
    "ref_model_mixup_alpha": SHARE,
    "ref_model_sync_steps": COUNT,
    "top_entropy_quantile": SHARE,
    "entropy_coef_delta": NOT_NEGATIVE,
    "entropy_target": NOT_NEGATIVE,
    "off_policy_mask_threshold": NOT_NEGATIVE,
    "router_aux_loss_coef": NOT_NEGATIVE,
    # size and time
    "num_train_epochs": NOT_NEGATIVE,
    "eval_delay": NOT_NEGATIVE,
    "per_device_eval_batch_size": COUNT,
    "eval_accumulation_steps": COUNT,
    "gradient_accumulation_steps": COUNT,
    "generation_batch_size": COUNT,
    "steps_per_generation": COUNT,
    "num_generations_eval": COUNT,
    "torch_empty_cache_steps": COUNT,
    "pad_to_multiple_of": COUNT,
    "max_tool_calling_iterations": NOT_NEGATIVE,
    "num_completions_to_print": NOT_NEGATIVE,
    # machine
    "dataloader_num_workers": Spec(at_least=0, at_most=MOST_WORKERS),
    "dataloader_prefetch_factor": COUNT,
    "ddp_bucket_cap_mb": COUNT,
    "ddp_timeout": COUNT,
    "local_rank": Spec(at_least=-1),
}

UNBOUNDED = frozenset({"entropy_coef", "entropy_coef_min", "entropy_coef_max"})
"""Numbers of which any has a meaning: a negative bonus makes the policy surer."""

WITHOUT_EFFECT = "vllm_"
"""How the names of settings begin that do nothing, as their switch is not supported."""
