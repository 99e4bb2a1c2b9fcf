"""Try a model out before a run: short rows through the paths that the run would take, against a plain forward.

Settings do not tell whether a model lets tokens see later ones, takes padding for content, or has a cache that can be
cut and reordered. A few forwards over a few tokens do, and a path that gives other log-probabilities is never taken.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from fastslow.core.errors import BadInput
from fastslow.core.machine import is_out_of_memory
from fastslow.policy import shards
from fastslow.policy.engines.base import Prompt, SamplingParams
from fastslow.policy.engines.rows import Way, likely_way, plain_logits, takes, without_adapter_shell
from fastslow.policy.engines.transformers import PrefixSampler, pick, uniforms
from fastslow.policy.token_trees import Row

Result = TypeVar("Result")

# Most that two ways of computing one log-probability may differ in fp32, by rounding. Padding that is taken for content
# moves log-probabilities of models with random weights, the least sensitive ones, by a hundred times as much.
ROUNDING = 2e-4
COMMON = 6
"""Tokens that the first two rows have in common."""
TOKENS = 4
"""Tokens that a trial samples for each row: the first from a whole prompt, then with a cache that a forward over the
prompt has made, that one token more has changed, and that was changed before."""
LONGEST_CHUNK = 256
"""Longest chunk that the longer row goes beyond."""

_KNOWN: dict[tuple[str, ...], Way] = {}
"""Ways found in this process, by kind (`kind_of`): base, copies and checkpoints of a model are alike."""
_LONG: set[tuple[str, ...]] = set()
"""Kinds of models that have computed a longer row in this process."""


def kind_of(model: PreTrainedModel) -> tuple[str, ...]:
    """Return what the outcome of a trial depends on, whatever the weights are: class, configuration and type."""
    inner = without_adapter_shell(model)
    settings = json.loads(inner.config.to_json_string())
    if takes(inner, "use_cache"):
        settings.pop("use_cache", None)  # the trainer sets it, and every forward here says it anew
    attention = str(inner.config._attn_implementation)
    return (
        shards.class_of(inner).__qualname__,
        json.dumps(settings, sort_keys=True),
        attention,
        str(model.dtype),
    )


def tolerance(model: PreTrainedModel) -> float:
    """Return how far two ways of computing a log-probability may be apart in the type of the weights."""
    return max(ROUNDING, float(torch.finfo(model.dtype).eps) ** 0.5 / 2)


def trial_rows(model: PreTrainedModel) -> list[Row]:
    """Return rows of different lengths, of ids that the model has; the prompts of the first two are of one length and
    have a common beginning."""
    size = vocabulary(model)
    config: Any = model.config.get_text_config()
    ends = {getattr(config, f"{name}_token_id", None) for name in ("pad", "bos", "eos", "sep", "cls")}
    ids = [i for i in range(size) if i not in ends] or list(range(size))
    token = [ids[(7 + 5 * i) % len(ids)] for i in range(40)]
    common = tuple(token[:COMMON])
    return [
        Row((*common, *token[6:9], *token[20:23]), 3),
        Row((*common, *token[9:12], *token[23:27]), 4),
        Row((*token[14:20], *token[27:29]), 2),
    ]


def vocabulary(model: PreTrainedModel) -> int:
    """Return how many token ids the model's embedding has rows for."""
    embedding: Any = model.get_input_embeddings()
    rows = getattr(embedding, "num_embeddings", None) or getattr(embedding, "weight", torch.empty(0, 0)).shape[0]
    return int(rows or model.config.get_text_config().vocab_size)


@torch.no_grad()
def plain_logprobs(model: PreTrainedModel, row: Row, *, temperature: float = 1.0) -> Float[Tensor, " T"]:
    """Return the log-probabilities of a row's answer from a forward over that row alone."""
    ids = torch.tensor([row.ids], device=model.device)
    logits = plain_logits(model, ids, keep=row.answer + 1)[0, -1 - row.answer : -1].float() / temperature
    return logits.log_softmax(-1).gather(1, ids[0, -row.answer :, None])[:, 0]


def in_evaluation(model: PreTrainedModel, attempt: Callable[[], Result]) -> Result:
    """Return what `attempt` returns with the model in evaluation mode, and the model in the mode it was found in."""
    was_training = model.training
    model.eval()
    try:
        return attempt()
    finally:
        model.train(was_training)


def sampling_way(model: PreTrainedModel, *, pad_id: int) -> Way:
    """Return the cheapest way of sampling whose log-probabilities are those of a plain forward.

    Raises BadInput for a model that is no causal language model over text: one that fails on token ids alone, or whose
    tokens see later ones.
    """
    kind = kind_of(model)
    if kind not in _KNOWN:
        way = in_evaluation(model, lambda: _try_ways(model, pad_id))
        if way is None:
            return likely_way(model)  # weights that are not finite say nothing about the architecture
        _KNOWN[kind] = way
    return _KNOWN[kind]


def _try_ways(model: PreTrainedModel, pad_id: int) -> Way | None:
    name, rows = name_of(model), trial_rows(model)
    try:
        plain = [_distributions(model, row) for row in rows[:2]]
        if kind_of(model) not in _LONG:
            long_logprobs(model)
    except Exception as error:
        raise not_for_text(model, error) from error
    if not all(bool(torch.isfinite(_of(row, logps)).all()) for row, logps in zip(rows, plain, strict=False)):
        return None
    causal = _is_causal(model, rows[0], *plain)
    if not causal:
        raise BadInput(
            f"the model ({name}) is no causal language model: its tokens see later ones, so that it cannot be sampled "
            "from token by token. Take a decoder-only model, or set is_decoder in its config.json if it is one."
        )
    ways, likely = list(Way), likely_way(model)
    problem = ""
    for way in ways[ways.index(likely) :]:
        try:
            found = _differs(model, way, rows, pad_id, plain[0])
        except Exception as error:
            if is_out_of_memory(error):
                raise
            problem = first_line(error)
            continue
        if found <= tolerance(model):
            return way
        problem = f"log-probabilities that are off by {found:.1g}"
    raise BadInput(
        f"the model ({name}) cannot be sampled from: what it says of a token depends on the tokens beside it or after "
        f"it ({problem}). Take another model."
    )


def long_row(row: Row, model: PreTrainedModel) -> Row:
    """Return a row of more tokens than kernels take as one chunk, or of as many as the model's window holds."""
    config: Any = model.config.get_text_config()
    # Where no setting has a name like these, the kernels of linear attention take 64 at once, some on accelerators 128.
    named = [getattr(config, name, None) for name in ("chunk_size", "mamba_chunk_size", "block_size")]
    chunks = [chunk for chunk in named if isinstance(chunk, int)]
    length = min(LONGEST_CHUNK, max([64 if model.device.type == "cpu" else 128, *chunks])) + len(row.ids)
    window = int(getattr(config, "max_position_embeddings", None) or length)
    return Row((row.ids * length)[: min(length, window)], row.answer)


def long_logprobs(model: PreTrainedModel, *, temperature: float = 1.0) -> Float[Tensor, " T"]:
    """Return the log-probabilities of the answer of the longer row: kernels that compute in chunks fail on longer rows
    only. Of one kind of models it is enough to try one."""
    logprobs = plain_logprobs(model, long_row(trial_rows(model)[1], model), temperature=temperature)
    _LONG.add(kind_of(model))
    return logprobs


@torch.no_grad()
def _distributions(model: PreTrainedModel, row: Row) -> Float[Tensor, "T V"]:
    """Return the log-probabilities of every token after each token of a row, from a forward over that row alone."""
    return plain_logits(model, torch.tensor([row.ids], device=model.device))[0].float().log_softmax(-1)


def _of(row: Row, logps: Float[Tensor, "T V"], count: int | None = None) -> Float[Tensor, " T"]:
    """Return the log-probabilities of the tokens of a row that follow its first `count`."""
    count = count or len(row.ids) - 1
    return logps[:count].gather(1, torch.tensor(row.ids[1 : 1 + count], device=logps.device)[:, None])[:, 0]


def _is_causal(model: PreTrainedModel, row: Row, one: Float[Tensor, "T V"], other: Float[Tensor, "T V"]) -> bool:
    """Return whether two rows that begin alike say the same of what follows, up to where they part."""
    return not bool(((_of(row, one, COMMON) - _of(row, other, COMMON)).abs() > tolerance(model)).any())


def _differs(model: PreTrainedModel, way: Way, rows: Sequence[Row], pad_id: int, plain: Float[Tensor, "T V"]) -> float:
    """Return by how much log-probabilities sampled in this way differ from a plain forward over the same tokens.

    `plain` is that over the first row. What its prompt says first ends all rows that say it, so that the dropping of
    rows is tried as well.
    """
    prompts = [row.ids[: -row.answer] for row in rows]
    prefixes = [COMMON, COMMON, 0]
    asked = [Prompt(prompts[i], seed, prefixes[i]) for seed, i in enumerate((0, 1, 2, 0))]
    params = SamplingParams(max_new_tokens=TOKENS)
    after = plain[len(prompts[0]) - 1, None]
    end, of_end = pick(after, uniforms(asked[:1], TOKENS).to(after.device)[:, 0], params, None, None)
    sampler = PrefixSampler(model, eos_ids=[int(end)], pad_id=pad_id, dtype=model.dtype, way=way)
    sampler.refresh(0)
    samples = sampler.sample(asked, params)
    # The first row ends with its first token, unless rounding tipped the choice.
    wanted = [
        of_end if p is asked[0] and s.ids == (int(end),) else plain_logprobs(model, Row(p.ids + s.ids, len(s.ids)))
        for p, s in zip(asked, samples, strict=True)
    ]
    found = torch.tensor([logprob for sample in samples for logprob in sample.logprobs], device=wanted[0].device)
    return float((found - torch.cat(wanted)).abs().max())  # NaN, where one is


def not_for_text(model: PreTrainedModel, error: Exception) -> Exception:
    """Return the refusal of a model whose forward fails on token ids alone; where memory ran out, that error itself."""
    if is_out_of_memory(error):
        return error
    return BadInput(
        f"the model ({name_of(model)}) cannot be trained on text: a forward over token ids alone fails with "
        f"{first_line(error)}. Take a causal language model."
    )


def name_of(model: PreTrainedModel) -> str:
    """Return the name of the model's class, whatever wraps it."""
    return shards.class_of(without_adapter_shell(model)).__name__


def first_line(error: BaseException) -> str:
    """Return kind and first line of an error."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0][:200] if text else ''}".rstrip(": ")
