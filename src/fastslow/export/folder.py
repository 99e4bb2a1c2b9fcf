"""Write a bundle as a folder that stock servers load, as a whole or not at all."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors import SafetensorError
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from fastslow.bundles.bundle import DTYPES, Bundle, chooses_without_labels, for_every_reader, open_bundle
from fastslow.bundles.contexts import own_chat
from fastslow.bundles.digest import bundle_digest, folder_of
from fastslow.contexts.context import Context
from fastslow.contexts.rendering import render_chat
from fastslow.core.errors import BadInput, in_one_line, quoted
from fastslow.core.modes import MODES
from fastslow.export.card import verdict_on, write_card
from fastslow.export.choice import Selection, select
from fastslow.export.equality import TOOLS, check_equal, conversations
from fastslow.export.ollama import write_modelfile
from fastslow.export.origin import read_origin
from fastslow.export.release import VERSION, Release, describe, open_topics, write_release
from fastslow.export.soft import bake, check_rows, soft_of, with_names
from fastslow.export.template import LEAD, check_names, check_text, with_contexts
from fastslow.files import atomic
from fastslow.gate.verdict import Verdict
from fastslow.policy.chat import Chat
from fastslow.policy.loading import EMBEDDED, ModelSource, context_window, load_tokenizer
from fastslow.policy.trials import vocabulary

FORMATS = ("hf", "ollama")


@dataclass(frozen=True)
class ExportSettings:
    """How a bundle is exported.

    Attributes:
        format: `hf`, or `ollama`, which adds a Modelfile and leaves the chat template as it is.
        contexts: `lead`, or `all`: every member of the population, and every context that its topics may choose. None:
            all, unless contexts were gated that are chosen by the question, which is refused.
        merge: add LoRA adapters to the base's weights; the `ollama` format always does.
        dtype: the type of the weights; None: as in the bundle.
        verdict: the gate's verdict (JSON): the context that was gated becomes the default, and it goes into the card.
        trusted: whether the embedder that a bundle names may be the user's own code.
    """

    format: str = "hf"
    contexts: str | None = None
    merge: bool = False
    dtype: str | None = None
    verdict: Path | None = None
    trusted: bool = False


@dataclass(frozen=True)
class Exported:
    """What was exported: `compared` renderings were equal, of a template with the contexts of `selection`."""

    version: str
    selection: Selection
    compared: int
    adapters: bool

    @property
    def contexts(self) -> int:
        """How many contexts the folder holds."""
        return len(self.selection.contexts)


def export_bundle(path: str | Path, output: Path, settings: ExportSettings | None = None) -> Exported:
    """Write the bundle at `path` into the new folder `output`.

    Nothing is left at `output` unless the exported template gives the token ids of the run's own rendering. Raises
    BadInput for what cannot be exported, and for an `output` that exists and is not empty.
    """
    settings = settings or ExportSettings()
    check_output(output)
    folder = folder_of(path)
    digest = bundle_digest(folder)
    verdict = verdict_on(settings.verdict, digest) if settings.verdict is not None else None
    bundle = open_bundle(folder)
    adapters = isinstance(bundle.model, PeftModel) and not settings.merge and settings.format == "hf"
    if adapters and bundle.settings["model"] == EMBEDDED:
        raise BadInput(f"no server finds the base of these adapters by its name, '{EMBEDDED}'; say --merge.")
    release, selection = _release(folder, bundle, digest, settings, verdict)
    origin = read_origin(folder, bundle.settings)
    chat = own_chat(bundle.tokenizer, bundle.settings, ids_below=vocabulary(bundle.model))
    rows: dict[str, tuple[int, ...]] = {}
    if soft_of(selection.contexts):
        if adapters:
            raise BadInput("rows of soft contexts are part of whole weights only; say --merge.")
        bundle, chat, rows = _with_rows(bundle, chat, selection.contexts)
    _check_contexts(bundle, release, chat, selection.contexts)
    scratch = _beside(output)
    aside = scratch / "folder"
    try:
        aside.mkdir()
        compared = _write_tokenizer(aside, bundle, release, selection, chat)
        _write_weights(aside, bundle, release, adapters=adapters, dtype=settings.dtype, rows=rows)
        if settings.format == "ollama":
            write_modelfile(aside, release, selection.default)
        write_card(aside, release, selection, origin, adapters=adapters, verdict=verdict)
        write_release(aside, release, bundle.settings, selection.contexts, selection.default)
        for_every_reader(aside, like=aside / "generation_config.json")
        for entry in aside.rglob("*"):
            atomic.sync(entry)
        atomic.sync(aside)
        atomic.put_in_place(aside, output.absolute())
    except (OSError, SafetensorError) as error:
        said = getattr(error, "strerror", None) or in_one_line(error)
        raise BadInput(f"cannot write '{output}': {said}.") from error
    finally:
        atomic.remove(scratch)
    return Exported(release.version, selection, compared, adapters)


def _beside(output: Path) -> Path:
    """Return a new folder on the disk of `output`. Raises BadInput where none can be made."""
    target = output.absolute()
    try:
        return Path(tempfile.mkdtemp(prefix=f".{target.name[:100]}-", dir=target.parent))
    except OSError as error:
        raise BadInput(f"cannot write '{output}': {error.strerror or error}.") from error


def check_output(output: Path) -> None:
    """Raise BadInput unless `output` is a folder that can be made, or an empty one."""
    if "\0" in str(output):
        raise BadInput(f"'{quoted(output)}' has a zero byte, and no folder can; give another name.")
    try:
        if output.is_symlink() or (output.exists() and (not output.is_dir() or any(output.iterdir()))):
            raise BadInput(f"'{output}' exists and is not an empty folder; nothing is overwritten. Give a new folder.")
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"cannot write '{output}': {error.strerror or error}.") from error


def _release(
    folder: Path, bundle: Bundle, digest: str, settings: ExportSettings, verdict: Verdict | None
) -> tuple[Release, Selection]:
    """Return what is released, and which of its contexts."""
    population, several = bundle.population, settings.format == "hf"
    chooses = several and settings.contexts != LEAD and chooses_without_labels(bundle.settings)
    topics = open_topics(folder, bundle.settings, trusted=settings.trusted) if chooses else None
    entries = topics.archive.entries.values() if topics is not None and topics.archive is not None else ()
    selection = select(
        population,
        [population.known[id] for entry in entries for id in entry.ranked],
        which=settings.contexts,
        gated=verdict.contexts if verdict is not None else None,
        several=several,
        retrieves=MODES[bundle.settings["mode"]].retrieves,
        consolidates=MODES[bundle.settings["mode"]].consolidates,
    )
    release = describe(
        bundle.tokenizer,
        bundle.settings,
        version=digest[:VERSION],
        population=replace(population, members=[population.lead]),
        topics=topics,
    )
    return replace(release, in_template=several, gated=selection.gated), selection


def _with_rows(
    bundle: Bundle, chat: Chat, contexts: Sequence[Context]
) -> tuple[Bundle, Chat, dict[str, tuple[int, ...]]]:
    """Return the bundle with its soft contexts as tokens, how it renders then, and the ids of their rows."""
    model: Any = bundle.model
    model = model.merge_and_unload(safe_merge=True) if isinstance(model, PeftModel) else model
    tokenizer, rows = with_names(bundle.tokenizer, contexts)
    bake(model, contexts, rows)
    named = own_chat(tokenizer, bundle.settings, ids_below=vocabulary(model))
    check_rows(chat, named, contexts, rows)
    return replace(bundle, model=model, tokenizer=tokenizer), named, rows


def _check_contexts(bundle: Bundle, release: Release, chat: Chat, contexts: Sequence[Context]) -> None:
    """Refuse a context that no file can hold, and one under which no question leaves room for an answer."""
    window, longest = context_window(bundle.model), int(release.answers["max_new_tokens"])
    for context in contexts:
        for text in context.components.values():
            check_text(text, f"context {context.id}")
        turns = render_chat(context, [{"role": "user", "content": "?"}], system_role=chat.system_role)
        tokens = len(chat.ids(turns, f"context {context.id}"))
        if tokens + longest > window:
            raise BadInput(
                f"context {context.id} has {tokens} tokens, and with answers of {longest} it does not fit the model's "
                f"window of {window}; export --contexts lead, or train with a smaller max_completion_length."
            )


def _write_tokenizer(folder: Path, bundle: Bundle, release: Release, selection: Selection, chat: Chat) -> int:
    """Write the tokenizer with its template, read it again, and compare; return how many renderings were equal."""
    tokenizer, own, lead = bundle.tokenizer, bundle.tokenizer.chat_template, release.population.lead
    check_names(own)
    if release.in_template:
        template: Any = with_contexts(
            tokenizer,
            selection.contexts,
            lead=lead,
            default=selection.default,
            kwargs=bundle.settings.get("chat_template_kwargs"),
            date=bundle.settings["template_date"],
        )
        tokenizer.chat_template = template
    try:
        tokenizer.save_pretrained(folder)
    except Exception as error:  # tokenizers raises nothing else where a disk is full
        if isinstance(error, OSError):
            raise
        raise BadInput(f"the tokenizer cannot be written: {in_one_line(error)}.") from error
    finally:
        tokenizer.chat_template = own
    if not release.in_template:
        return 0
    shipped = load_tokenizer(ModelSource(str(folder), str(folder)))
    return check_equal(
        shipped,
        chat,
        selection.contexts,
        lead,
        conversations(selection.contexts, _archived(release)),
        default=selection.default,
        with_tools=_with_tools(bundle),
    )


def _with_tools(bundle: Bundle) -> Chat | None:
    """Return the run's rendering of requests with tools; None where the template cannot show them."""
    kwargs = {**(bundle.settings.get("chat_template_kwargs") or {}), "tools": list(TOOLS)}
    try:
        return own_chat(bundle.tokenizer, {**bundle.settings, "chat_template_kwargs": kwargs})
    except BadInput:
        return None


def _archived(release: Release) -> list[str]:
    archive = release.topics.archive if release.topics is not None else None
    entries = archive.entries.values() if archive is not None else ()
    return [example.question for entry in entries for example in entry.examples.values()]


def _write_weights(
    folder: Path,
    bundle: Bundle,
    release: Release,
    *,
    adapters: bool,
    dtype: str | None,
    rows: Mapping[str, Sequence[int]],
) -> None:
    """Write the weights, or the adapters, and how answers are sampled: without `rows` of soft contexts in them."""
    model: Any = bundle.model
    if isinstance(model, PeftModel) and not adapters:
        model = model.merge_and_unload(safe_merge=True)
    if dtype is not None:
        assert dtype in DTYPES
        model = model.to(getattr(torch, dtype))
        broken = next((name for name, values in model.named_parameters() if not torch.isfinite(values).all()), None)
        if broken is not None:
            raise BadInput(f"the weights '{broken}' do not fit the range of {dtype}; take --dtype bfloat16.")
    config = generation_config(model, bundle.tokenizer, release)
    config.suppress_tokens = sorted(id for of_one in rows.values() for id in of_one) or None
    if not adapters:  # that of the bundle may hold anything, which transformers refuses to write
        model.generation_config = config
    model.save_pretrained(str(folder))
    if adapters:
        (folder / "README.md").unlink(missing_ok=True)  # peft's template, which holds no information
        file = folder / "adapter_config.json"
        base = {"base_model_name_or_path": bundle.settings["model"]}
        named = json.loads(file.read_text(encoding="utf-8")) | base
        file.write_text(json.dumps(named, indent=2) + "\n", encoding="utf-8")
    config.save_pretrained(folder)


def generation_config(
    model: PreTrainedModel | PeftModel, tokenizer: PreTrainedTokenizerBase, release: Release
) -> GenerationConfig:
    """Return a config by which a server samples as an evaluation does: nothing but temperature and top-p, and the end
    tokens of both model and tokenizer. Raises BadInput for an end that is no token."""
    of_model: Any = model.generation_config.eos_token_id if model.generation_config is not None else None
    named = [*(of_model if isinstance(of_model, list) else [of_model]), tokenizer.eos_token_id]
    strange = next((end for end in named if end is not None and (type(end) is not int or end < 0)), None)
    if strange is not None:
        raise BadInput(
            f"the bundle's generation_config.json names '{quoted(strange, 40)}' as the end of an answer, which is no "
            "token; eos_token_id is a whole number, or a list of them."
        )
    temperature = release.answers["temperature"]
    sampling = {"temperature": temperature, "top_p": release.answers["top_p"], "top_k": 0} if temperature else {}
    return GenerationConfig(
        do_sample=bool(temperature),
        max_new_tokens=int(release.answers["max_new_tokens"]),
        eos_token_id=sorted({end for end in named if end is not None}),
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **sampling,
    )
