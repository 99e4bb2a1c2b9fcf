"""Rows beside an embedding: copied from a text they compute what it does, and nothing else of the model changes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

from fastslow.contexts.context import Context, WorkedExample, dump_examples, seed_context, soft_context
from fastslow.core.errors import BadInput
from fastslow.core.types import Example
from fastslow.policy.engines.base import Prompt, SamplingParams
from fastslow.policy.engines.transformers import PrefixSampler
from fastslow.policy.loading import EMBEDDED, load_model, load_tokenizer, resolve_model
from fastslow.policy.policy import Policy
from fastslow.policy.soft_births import birth_of
from fastslow.policy.soft_rows import SoftRows, embedding_of, rows_beside
from fastslow.policy.token_trees import Row
from fastslow.policy.tree_forward import forward_packed, pack
from tests.policy.test_policy import Sums, asked
from tests.support.architectures import FAMILIES, VOCAB, build
from tests.support.tiny import tiny_model, tiny_tokenizer

CLOSE = 1e-4
FEW = Context(
    {
        "instruction": "Multiply. Say the number alone.",
        "examples": dump_examples([WorkedExample("2 * 3", "6"), WorkedExample("7 * 5", "35")]),
    }
)
INSTRUCTED = Context({"instruction": "Multiply. Say the number alone.", "examples": ""})
SHOWN = Context({"instruction": "", "examples": FEW.components["examples"]})
QUESTIONS = [asked(f"{i} * {i + 1}") for i in (3, 12, 104)]


def policy_of(model: PreTrainedModel, tokenizer: Any, rows: SoftRows | None, tokens: int = 6) -> Policy:
    eos, pad = int(tokenizer.eos_token_id), int(tokenizer.pad_token_id)
    engine = PrefixSampler(model, eos_ids=[eos], pad_id=pad, dtype=torch.float32)
    policy = Policy(
        engine=engine, tokenizer=tokenizer, task=Sums(QUESTIONS), params=SamplingParams(tokens), window=4096, soft=rows
    )
    policy.refresh(0)
    return policy


def born(
    policy: Policy, rows: SoftRows, model: PreTrainedModel, text: Context, living: tuple[int, ...] = ()
) -> Context:
    """The soft context whose rows are copied from the tokens that a text adds to a prompt."""
    birth = birth_of(policy, text, QUESTIONS[0], most=rows.tokens)
    assert birth.exact, "the copied rows stand for the whole text"
    with torch.no_grad():
        _, soft = rows.bear(embedding_of(model)(torch.tensor(birth.ids)), living)
    return soft_context(birth.kind, soft, text)


@pytest.fixture
def tiny() -> tuple[PreTrainedModel, Any, SoftRows]:
    tokenizer = tiny_tokenizer()
    model = tiny_model(tokenizer)
    return model, tokenizer, SoftRows.beside(model, slots=2, tokens=200)


@pytest.fixture(scope="module")
def real() -> tuple[PreTrainedModel, Any, SoftRows]:
    source = resolve_model(EMBEDDED)
    model = load_model(source).eval()
    return model, load_tokenizer(source), SoftRows.beside(model, slots=3, tokens=80)


def left_padded_logits(model: PreTrainedModel, rows: list[tuple[int, ...]], pad: int) -> torch.Tensor:
    longest = max(map(len, rows))
    ids = torch.tensor([[pad] * (longest - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=mask, position_ids=(mask.cumsum(1) - 1).clamp(min=0)).logits[:, -1]


@pytest.mark.parametrize("text", [FEW, INSTRUCTED, SHOWN], ids=["both", "instruction", "examples"])
def test_copied_rows_compute_what_the_text_does_in_trees_caches_and_padded_batches(real: Any, text: Context) -> None:
    model, tokenizer, rows = real
    policy = policy_of(model, tokenizer, rows)
    soft = born(policy, rows, model, text)
    prompts = [[policy.prompt_ids(context, q) for q in QUESTIONS] for context in (text, soft)]
    assert [[rows.has_any(ids) for ids in of_one] for of_one in prompts] == [[False] * 3, [True] * 3]
    assert [len(ids) for ids in prompts[0]] == [len(ids) for ids in prompts[1]]
    want, got = (left_padded_logits(model, ids, int(tokenizer.pad_token_id)) for ids in prompts)
    assert (want - got).abs().max() <= CLOSE, "left-padded rows"
    greedy = SamplingParams(6, temperature=0.0)
    said = [policy.engine.sample([Prompt(i, 0, prefix=len(i) // 2) for i in ids], greedy) for ids in prompts]
    assert [s.ids for s in said[0]] == [s.ids for s in said[1]], "greedy answers, from cached contexts"
    for one, other in zip(*said, strict=True):
        assert torch.tensor(one.logprobs).sub(torch.tensor(other.logprobs)).abs().max() <= CLOSE
    trees = [pack([Row(i + s.ids, len(s.ids)) for i, s in zip(ids, said[0], strict=True)]) for ids in prompts]
    with torch.no_grad():
        scored = [forward_packed(model, model, tree, temperature=1.0, entropy_grad=False)[0] for tree in trees]
    assert (scored[0] - scored[1]).abs().max() <= CLOSE, "token trees"


def test_prompts_without_rows_keep_their_logits_to_the_bit() -> None:
    tokenizer = tiny_tokenizer()
    model = tiny_model(tokenizer)
    ids = torch.randint(0, len(tokenizer), (3, 50), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = model(input_ids=ids).logits
        SoftRows.beside(model, slots=2, tokens=5)
        after = model(input_ids=ids).logits
    assert torch.equal(before, after)
    assert before.shape == after.shape, "the head has no column for rows"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_copied_rows_compute_what_their_tokens_do_in_every_family(family: str, tied: bool) -> None:
    """Gemma scales what its embedding holds, and its head may be the embedding."""
    model = build(family, tie_word_embeddings=tied)
    rows = SoftRows.beside(model, slots=2, tokens=4)
    text = (5, 9, 11, 13, 21, 34)
    _, soft = rows.bear(embedding_of(model)(torch.tensor(text[1:4])).detach(), ())
    copied = (text[0], *rows.ids_of(soft), *text[4:])
    with torch.no_grad():
        want, got = (model(input_ids=torch.tensor([ids])).logits for ids in (text, copied))
    assert got.shape[-1] == VOCAB
    assert (want - got).abs().max() <= CLOSE


def test_a_model_that_reads_more_of_an_id_than_its_row_is_refused() -> None:
    model: Any = tiny_model(tiny_tokenizer())
    plain = model.forward

    def forward(input_ids: torch.Tensor, **how: Any) -> Any:
        out = plain(input_ids=input_ids, **how)
        out.logits = out.logits + input_ids[..., None] / 100
        return out

    model.forward = forward
    with pytest.raises(BadInput, match="reads more of a token than its row"):
        SoftRows.beside(model, slots=1, tokens=2)


def test_an_embedding_that_is_no_plain_table_is_refused() -> None:
    model: Any = tiny_model(tiny_tokenizer())
    model.set_input_embeddings(nn.Sequential(model.get_input_embeddings()))
    with pytest.raises(BadInput, match="soft contexts need a plain embedding"):
        SoftRows.beside(model, slots=1, tokens=2)


def test_no_row_is_ever_sampled(tiny: Any) -> None:
    model, tokenizer, rows = tiny
    policy = policy_of(model, tokenizer, rows, tokens=100)
    soft = born(policy, rows, model, FEW)
    with torch.no_grad():
        rows.rows_of(soft.soft).mul_(50)  # what a tied head would say all the time
    prompt = policy.prompt_ids(soft, QUESTIONS[0])
    samples = policy.engine.sample(
        [Prompt(prompt, seed) for seed in range(150)], SamplingParams(100, temperature=100.0)
    )
    drawn = [i for sample in samples for i in sample.ids]
    assert len(drawn) >= 10_000
    assert not rows.has_any(drawn)


def test_the_name_of_a_row_typed_into_a_question_stays_text(tiny: Any) -> None:
    model, tokenizer, rows = tiny
    policy = policy_of(model, tokenizer, rows)
    soft = born(policy, rows, model, FEW)
    typed = asked(f"{soft.components[next(iter(soft.components))]} fastslow-rows-0-stand-here")
    assert not rows.has_any(policy.prompt_ids(FEW, typed))
    ids = policy.prompt_ids(soft, typed)
    assert soft.soft is not None
    assert [i for i in ids if i >= rows.first] == list(rows.ids_of(soft.soft)), "its own rows, and no other"
    said = tokenizer(typed.question, add_special_tokens=False)["input_ids"]
    assert any(list(ids[i : i + len(said)]) == said for i in range(len(ids))), "the question as it was typed"


def test_copies_of_a_model_look_up_the_same_rows_and_save_none(tiny: Any) -> None:
    model, _, rows = tiny
    other = copy.deepcopy(model).to(torch.bfloat16)
    assert rows_beside(other) is rows
    _, soft = rows.bear(torch.ones(2, 64), ())
    ids = torch.tensor([rows.ids_of(soft)])
    assert torch.equal(embedding_of(other)(ids), torch.ones(1, 2, 64, dtype=torch.bfloat16))
    assert not [name for name in [*model.state_dict(), *dict(model.named_parameters())] if "rows" in name]


def test_a_gradient_reaches_the_rows_of_a_prompt_and_no_other_slot(tiny: Any) -> None:
    model, tokenizer, rows = tiny
    policy = policy_of(model, tokenizer, rows)
    soft, other = (born(policy, rows, model, text, living) for text, living in ((FEW, ()), (INSTRUCTED, (0,))))
    model(input_ids=torch.tensor([policy.prompt_ids(soft, QUESTIONS[0])])).logits[0, -1, 0].backward()
    used, unused = rows.slots
    assert soft.soft is not None
    assert used.grad is not None
    assert (used.grad[: soft.soft.tokens] != 0).any(1).all()
    assert not used.grad[soft.soft.tokens :].any()
    assert unused.grad is None, "the optimiser would move what has a gradient of 0 by its momentum"
    assert other.soft is not None


def test_a_gradient_of_a_row_is_the_finite_difference() -> None:
    tokenizer = tiny_tokenizer()
    model = tiny_model(tokenizer).double()
    rows = SoftRows.beside(model, slots=1, tokens=4)
    rows.slots = [nn.Parameter(slot.detach().double()) for slot in rows.slots]
    _, soft = rows.bear(torch.randn(4, 64, generator=torch.Generator().manual_seed(1)).double() / 8, ())
    answered = [Row((5, *rows.ids_of(soft), 7 + i, 9, 30 + i, 31), 2) for i in range(3)]
    scored, _ = forward_packed(model, model, pack(answered), temperature=1.0, entropy_grad=False)
    (gradient,) = torch.autograd.grad(scored.sum(), rows.slots)

    @torch.no_grad()
    def loss() -> float:
        ids = torch.tensor([row.ids for row in answered])
        return float(model(input_ids=ids).logits[:, -3:-1].log_softmax(-1).gather(2, ids[:, -2:, None]).sum())

    step = 1e-3  # norms compute in fp32, whatever the weights are
    for row in range(4):
        along = gradient[row] / gradient[row].norm()
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                rows.slots[0][row] += sign * step * along
                ends.append(loss())
                rows.slots[0][row] -= sign * step * along
        assert float(gradient[row].norm()) == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-2)


def test_a_slot_that_was_given_to_another_says_so(tiny: Any) -> None:
    _, _, rows = tiny
    births = [rows.bear(torch.ones(2, 64), living)[1] for living in ((), (0,), (1,))]
    assert rows.ids_of(births[2])[0] == rows.first, "the slot of the first birth, which does not live"
    with pytest.raises(BadInput, match="soft context 0 are gone"):
        rows.ids_of(births[0])


def test_of_a_longer_text_as_many_worked_examples_are_kept_as_fit(tiny: Any) -> None:
    model, tokenizer, rows = tiny
    policy = policy_of(model, tokenizer, rows)
    whole = birth_of(policy, FEW, QUESTIONS[0], most=1000)
    one_less = birth_of(policy, FEW, QUESTIONS[0], most=len(whole.ids) - 1)
    assert whole.exact
    assert not one_less.exact
    assert one_less.ids == whole.ids[: len(one_less.ids)]
    assert "2 * 3" in tokenizer.decode(one_less.ids)
    assert "7 * 5" not in tokenizer.decode(one_less.ids)
    assert len(birth_of(policy, INSTRUCTED, QUESTIONS[0], most=5).ids) == 5


def test_a_seed_without_text_adds_nothing_to_copy(tiny: Any) -> None:
    model, tokenizer, rows = tiny
    assert birth_of(policy_of(model, tokenizer, rows), seed_context(""), QUESTIONS[0], most=9).ids == ()


def test_a_policy_without_rows_refuses_a_soft_context(tiny: Any) -> None:
    model, tokenizer, rows = tiny
    soft = born(policy_of(model, tokenizer, rows), rows, model, FEW)
    with pytest.raises(BadInput, match="is soft: rows beside the model's embedding"):
        policy_of(model, tokenizer, None).prompt_ids(soft, QUESTIONS[0])


def test_a_question_of_an_example_with_its_own_system_turn_takes_rows() -> None:
    tokenizer = tiny_tokenizer()
    model = tiny_model(tokenizer)
    rows = SoftRows.beside(model, slots=1, tokens=4)
    policy = policy_of(model, tokenizer, rows)
    _, soft = rows.bear(torch.ones(2, 64), ())
    turns = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "1 + 1"})
    example = Example("own", "sums", "train", turns)
    for kind in ("soft", "soft_turn"):
        ids = policy.prompt_ids(soft_context(kind, soft, FEW), example)
        assert [i for i in ids if i >= rows.first] == list(rows.ids_of(soft))
