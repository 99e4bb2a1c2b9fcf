"""Make a model and its tokenizer fit each other, and fit to be saved, before anything is trained on them.

Models of the hub come with generation configs that transformers loads and refuses to save, with tokenizers that name no
end or no padding, or with tokens that the embedding has no rows for.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from fastslow.core.errors import BadInput
from fastslow.policy.engines.rows import without_adapter_shell
from fastslow.policy.trials import vocabulary

# Settings of a generation config on which others depend: they are kept first, and what contradicts them goes.
FIRST = (
    "eos_token_id",
    "bos_token_id",
    "pad_token_id",
    "do_sample",
    "num_beams",
    "use_cache",
    "return_dict_in_generate",
)


def make_fit(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, saves: bool = True) -> None:
    """Complete the tokenizer's special tokens from the model's, and leave out of the model's generation config what
    transformers would refuse to save.

    Raises BadInput for a tokenizer without an end token where the model names none either, for special tokens that the
    embedding has no rows for, and, with `saves`, for configs or a tokenizer that cannot be saved.
    """
    inner: Any = without_adapter_shell(model)
    if inner.generation_config is not None:
        inner.generation_config = savable(inner.generation_config)
    _complete_ends(inner, tokenizer)
    if saves:
        _try_saving(inner, tokenizer)


def savable(config: GenerationConfig) -> GenerationConfig:
    """Return the config without the settings for which transformers refuses to save it.

    Of settings that contradict each other (a temperature without sampling) the one stays that decides what is
    generated, so that the config generates what it did before.
    """
    if _is_savable(config):
        return config
    usual = vars(type(config)())
    kept = copy.deepcopy(config)
    others = {name: value for name, value in vars(config).items() if name not in usual or value != usual[name]}
    for name in others:
        setattr(kept, name, usual.get(name))
    for name in sorted(others, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name)):
        setattr(kept, name, others[name])
        if not _is_savable(kept):
            setattr(kept, name, usual.get(name))
    return kept


def _is_savable(config: GenerationConfig) -> bool:
    try:
        config.validate(strict=True)
        config.to_json_string()
    except Exception:  # validate raises ValueError; values of a wrong type raise whatever comparing them does
        return False
    return True


def _complete_ends(model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    rows = vocabulary(model)
    if tokenizer.eos_token_id is None:
        tokenizer.eos_token = _end_named_by(model, tokenizer)  # type: ignore[assignment]
    end: Any = tokenizer.eos_token_id
    if end >= rows:
        raise BadInput(
            f"the tokenizer's end token '{tokenizer.eos_token}' ({end}) has no row in the model's embedding of {rows}; "
            "give the tokenizer that belongs to the model, or resize its embedding."
        )
    pad: Any = tokenizer.pad_token_id
    if pad is None or pad >= rows:  # padding is masked, so any token of the model will do
        tokenizer.pad_token = tokenizer.eos_token


def tokens_past(rows: int, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Return the tokens whose ids lie beyond an embedding of that many rows."""
    return [token for token, i in tokenizer.get_vocab().items() if i >= rows] if len(tokenizer) > rows else []


def _end_named_by(model: Any, tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the token by which the model's configs say that text ends."""
    for config in (model.generation_config, model.config.get_text_config()):
        named = getattr(config, "eos_token_id", None)
        for token_id in named if isinstance(named, list) else [named]:
            token: Any = tokenizer.convert_ids_to_tokens(token_id) if isinstance(token_id, int) else None
            if token is not None and token != tokenizer.unk_token:
                return token
    raise BadInput(
        "neither the tokenizer nor the model's configs name an end token (eos_token), so that no answer could end; set "
        "eos_token in tokenizer_config.json."
    )


def _try_saving(model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    """Save all but the weights, aside: what transformers refuses to save would else be refused after the last step."""
    try:
        aside = tempfile.TemporaryDirectory()
    except OSError:  # nowhere to try; whether the run's own directory can be written is found out there
        return
    with aside as folder:
        parts: dict[str, Callable[[Path], Any]] = {
            "configuration": model.config.save_pretrained, "tokenizer": tokenizer.save_pretrained,
        }  # fmt: skip
        if model.generation_config is not None:
            parts["generation configuration"] = model.generation_config.save_pretrained
        for name, save in parts.items():
            try:
                save(Path(folder))
            except Exception as error:  # the code of a tokenizer's maker may raise anything
                said = (str(error).strip() or "no reason given").splitlines()[0][:300]
                raise BadInput(
                    f"the model's {name} loads but cannot be saved, so that no bundle could be written: "
                    f"{type(error).__name__}: {said}"
                ) from error
