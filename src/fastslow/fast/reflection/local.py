"""Answer a proposer by a language model in this process: the policy itself or another model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch

from fastslow.core.errors import BadInput, EndpointError
from fastslow.fast.reflection.costs import Usage
from fastslow.policy.chat import Chat
from fastslow.policy.loading import control_tokens
from fastslow.policy.settings import TEMPLATE_DATE

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class LocalReflectionLM:
    """Ask a transformers model in this process, the policy itself or another model.

    Sampling is reproducible from `seed` and leaves the caller's random state unchanged (CPU, and the model's GPU; not
    MPS). A reply cut at `max_new_tokens` is returned as it is, because a small model often continues after its answer.
    Special tokens in the prompt's text are broken up, so that a quoted rollout cannot open a turn.

    Raises BadInput at construction for a tokenizer without a chat template, or with one that cannot show a question.
    `template_date` is what a template that prints the date is told.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        max_new_tokens: int = 256,
        temperature: float = 0.7,
        template_date: str = TEMPLATE_DATE,
    ):
        if not tokenizer.chat_template:
            raise BadInput(
                f"the local reflection LM '{tokenizer.name_or_path}' has no chat template; use a chat model."
            )
        if temperature <= 0:
            raise BadInput(f"the local reflection LM samples, so temperature must be above 0, got {temperature:g}.")
        self.chat = Chat(tokenizer, date=template_date)
        self.model = model
        self.tokenizer = tokenizer
        self.max_new_tokens = max_new_tokens
        self.temperature = temperature
        self.usage = Usage()

    def complete(self, prompt: str, *, seed: int) -> str:
        """Return the sampled reply without special tokens; it may be cut or empty.

        Raises EndpointError where the prompt leaves no room in the model's context window, and where the chat template
        does not show it.
        """
        self.usage.calls += 1
        messages = [{"role": "user", "content": defuse(prompt, control_tokens(self.tokenizer))}]
        try:
            ids = torch.tensor([self.chat.ids(messages, "the reflection prompt")], device=self.model.device)
        except BadInput as error:
            self.usage.failures += 1
            raise EndpointError(str(error)) from error
        prompt_tokens = ids.shape[1]
        self._check_room(prompt_tokens)
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        reply_ids_T = self._generate(inputs, seed)[0, prompt_tokens:]
        self.usage.prompt_tokens += prompt_tokens
        self.usage.completion_tokens += len(reply_ids_T)
        return str(self.tokenizer.decode(reply_ids_T, skip_special_tokens=True))

    def _check_room(self, prompt_tokens: int) -> None:
        window = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        if window is not None and prompt_tokens + self.max_new_tokens > window:
            self.usage.failures += 1
            raise EndpointError(
                f"the reflection prompt's {prompt_tokens} tokens and reflection_max_tokens={self.max_new_tokens} "
                f"exceed the local model's window of {window}; lower --reflection_max_tokens, or take another model."
            )

    @torch.no_grad()
    def _generate(self, inputs: Any, seed: int) -> torch.Tensor:
        device = self.model.device
        was_training = self.model.training
        self.model.eval()
        try:
            with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
                torch.manual_seed(seed)
                return self.model.generate(  # pyrefly: ignore[not-callable] - of GenerationMixin
                    **inputs,
                    max_new_tokens=self.max_new_tokens,
                    do_sample=True,
                    temperature=self.temperature,
                    pad_token_id=self.tokenizer.pad_token_id,
                )
        finally:
            self.model.train(was_training)


def defuse(text: str, special_tokens: Iterable[str]) -> str:
    """Return `text` with a space inside every special token, so that a tokenizer reads plain characters."""
    for token in special_tokens:
        if len(token) > 1:
            text = text.replace(token, f"{token[0]} {token[1:]}")
    return text
