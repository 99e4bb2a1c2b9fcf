"""Put questions under the contexts of a run, as the run itself did, without loading its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from transformers import PreTrainedTokenizerBase

from fastslow.bundles.bundle import chooses_without_labels, read_topics, settings_of
from fastslow.contexts.context import Context
from fastslow.contexts.population import Population
from fastslow.contexts.rendering import PLACEHOLDER, Messages, question_alone, render, render_open
from fastslow.core.errors import BadInput
from fastslow.core.modes import CANDIDATE, MODES
from fastslow.policy.chat import Chat
from fastslow.policy.loading import ModelSource, load_tokenizer, resolve_model
from fastslow.policy.settings import TEMPLATE_DATE
from fastslow.report.reading.contexts import read_contexts
from fastslow.topics.topics import CHOOSING, Topics


@dataclass(frozen=True)
class BundleContexts:
    """The contexts of a run, ready for questions; made by `open_contexts`.

    Attributes:
        tokenizer: what `AutoTokenizer.from_pretrained` reads: a folder, or a hub id.
        population: the contexts, the lead first.
        topics: choose a context by the question; None where the run had no topics that can.
        system_role: whether the chat template shows a system turn; without one the instruction goes into the first
            turn.
        template_arguments: further arguments of the chat template in the run.
        template_date: the date that the run gave to a template that prints one; None for the others.
        shipped: the kind of context that the run ships: by the question where it can, else the lead; the seed where
            contexts went into the weights.
    """

    tokenizer: str
    population: Population
    topics: Topics | None
    system_role: bool
    template_arguments: Mapping[str, Any]
    template_date: str | None
    shipped: str

    def messages(self, question: str, context: str | None = None) -> Messages:
        """Return the messages of a question, as the run sends them: a list of `role` and `content`.

        `context` is `lead`, `seed`, an id or its beginning; `cluster`, `nearest` or `retrieved` choose by the question,
        see `Topics.choose`. None: `shipped`. Raises BadInput for another one, and where nothing can choose.
        """
        return render(self.choose(question, context), question_alone(question), system_role=self.system_role)

    def choose(self, question: str, context: str | None = None) -> Context:
        """Return the context that `messages` takes. Raises BadInput as it does."""
        kind = context or self.shipped
        if kind not in CHOOSING:
            return self.population.named(kind)
        if self.topics is None or kind not in self.topics.kinds:
            raise BadInput(
                f"context '{kind}' is chosen by the question, which takes a bundle of a run with --clusters inferred, "
                "or for 'retrieved' one of mode retrieval; take 'lead', 'seed' or an id."
            )
        return self.topics.choose(kind, self.population, question_alone(question))

    def open_messages(self, context: Context) -> Messages:
        """Return the messages of any question under a context; `{question}` stands for it at the end of the last."""
        return render_open(context, system_role=self.system_role)

    def code(self, context: Context) -> str:
        """Return lines of Python that render a question under a context as the run does, with transformers alone."""
        *before, last = self.open_messages(context)
        start = last["content"].removesuffix(PLACEHOLDER)
        asked = f"{start!r} + question" if start else "question"
        arguments = "".join(f", {name}={value!r}" for name, value in self._passed().items())
        date = [] if self.template_date is None else [
            "from datetime import datetime",
            f"strftime_now = datetime.fromisoformat({self.template_date!r}).strftime  # as in the run, not today",
        ]  # fmt: skip
        passed = arguments + (", strftime_now=strftime_now" if date else "")
        return "\n".join([
            "from transformers import AutoTokenizer",
            *date,
            "",
            f"tokenizer = AutoTokenizer.from_pretrained({self.tokenizer!r})",
            'question = "..."',
            "messages = [",
            *(f"    {turn!r}," for turn in before),
            f"    {{'role': {last['role']!r}, 'content': {asked}}},",
            "]",
            f"prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True{passed})",
            "ids = tokenizer(prompt, add_special_tokens=False).input_ids",
        ])  # fmt: skip

    def _passed(self) -> dict[str, Any]:
        """Return the template's arguments as Python can write them in a call."""
        return {name: value for name, value in self.template_arguments.items() if name.isidentifier()}


def open_contexts(path: str | Path, *, choosing: bool = True, trusted: bool = False) -> BundleContexts:
    """Open the contexts of a run directory or a bundle folder: its tokenizer, population and, with `choosing` and
    where the run chose so, the topics that choose by the question. No weights of the model are loaded.

    Raises BadInput for what is missing or damaged, and for an embedder that is not one of ours unless `trusted`.
    """
    known = read_contexts(path)
    if (known.folder / "bundle.json").is_file():
        folder, settings = settings_of(known.folder)
        source = ModelSource(str(folder), str(folder))
        chosen = choosing and chooses_without_labels(settings)
        topics = read_topics(folder, settings, trusted=trusted) if chosen else None
    else:  # a run with save_bundle: false
        settings, topics = _config_of(known.folder), None
        source = resolve_model(settings["model"])
    tokenizer = load_tokenizer(source)
    usual = topics.kinds[0] if topics is not None else "lead"
    dated = "strftime_now" in str(tokenizer.chat_template)
    return BundleContexts(
        tokenizer=source.path,
        population=known.population,
        topics=topics,
        system_role=own_chat(tokenizer, settings).system_role,
        template_arguments=settings.get("chat_template_kwargs") or {},
        template_date=settings["template_date"] if dated else None,
        shipped="seed" if MODES.get(settings.get("mode", ""), CANDIDATE).consolidates else usual,
    )


def own_chat(tokenizer: PreTrainedTokenizerBase, settings: Mapping[str, Any], *, ids_below: int | None = None) -> Chat:
    """Return the rendering that the run with these settings used."""
    kwargs = settings.get("chat_template_kwargs") or {}
    if not isinstance(kwargs, dict):
        raise BadInput("'chat_template_kwargs' of bundle.json must be a mapping.")
    return Chat(tokenizer, kwargs=kwargs, date=settings["template_date"], ids_below=ids_below)


def _config_of(run: Path) -> dict[str, Any]:
    """Return the settings of a run that kept no bundle. Raises BadInput where they cannot be read."""
    file = run / "config.yaml"
    try:
        settings = yaml.safe_load(file.read_text(encoding="utf-8"))
        settings = {"template_date": TEMPLATE_DATE, **settings}
        return settings | {"model": str(settings["model"]), "template_date": str(settings["template_date"])}
    except FileNotFoundError:
        raise BadInput(f"'{run}' holds contexts but neither a bundle nor config.yaml, so no tokenizer.") from None
    except Exception as error:  # PyYAML's constructors raise whatever the text leads them to
        raise BadInput(f"'{file}' is damaged ({type(error).__name__}).") from error
