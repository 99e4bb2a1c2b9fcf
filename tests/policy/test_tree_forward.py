"""Token trees give what padded rows give: log-probabilities, entropies and gradients."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import AutoModelForCausalLM, FalconConfig, GraniteConfig, PreTrainedModel, Qwen3NextConfig, RwkvConfig

from fastslow.policy import tree_forward as packing
from fastslow.policy.loading import EMBEDDED, load_model, resolve_model
from fastslow.policy.token_trees import Row, lay_out, tree_tokens
from fastslow.policy.tree_forward import forward_packed, pack, why_not
from tests.support.architectures import PAD, SHAPE, WINDOW, build, tiny

ONE_SEQUENCE, ONE_ROW_EACH = 0.0, 1e6  # attention weights


def padded_logps(model: PreTrainedModel, rows: list[Row], temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """The reference: right padding, a full forward, log-softmax, gather. (B, T) log-probabilities and entropies."""
    longest, width = max(len(r.ids) for r in rows), max(r.answer for r in rows)
    ids = torch.tensor([[*r.ids, *[PAD] * (longest - len(r.ids))] for r in rows])
    mask = torch.tensor([[1] * len(r.ids) + [0] * (longest - len(r.ids)) for r in rows])
    logps_B_L_V = (model(input_ids=ids, attention_mask=mask).logits / temperature).log_softmax(-1)
    entropies_B_L = -(logps_B_L_V.exp() * logps_B_L_V).sum(-1)
    logps, entropies = [], []
    for i, row in enumerate(rows):
        places = torch.arange(len(row.ids) - row.answer, len(row.ids))
        missing = torch.zeros(width - row.answer)
        logps.append(torch.cat([logps_B_L_V[i, places - 1, ids[i, places]], missing]))
        entropies.append(torch.cat([entropies_B_L[i, places - 1], missing]))
    return torch.stack(logps), torch.stack(entropies)


def packed_logps(model: PreTrainedModel, rows: list[Row], **how) -> tuple[Tensor, Tensor]:
    settings: dict[str, Any] = {"attention_weight": ONE_SEQUENCE, "temperature": 1.0, **how}
    packed = pack(rows, attention_weight=settings.pop("attention_weight"))
    return forward_packed(model, model, packed, entropy_grad=True, **settings)


def gradients(model: PreTrainedModel, logps: Tensor, entropies: Tensor) -> list[Tensor]:
    """Of a loss in which every token and every entropy has a weight of its own."""
    draw = torch.Generator().manual_seed(7)
    loss = (logps * torch.randn(logps.shape, generator=draw)).sum()
    loss = loss + (entropies * torch.randn(logps.shape, generator=draw)).sum()
    return list(torch.autograd.grad(loss, list(model.parameters())))


def assert_equal_training(model: PreTrainedModel, rows: list[Row], temperature: float = 1.0, **how) -> None:
    want, want_entropies = padded_logps(model, rows, temperature)
    got, got_entropies = packed_logps(model, rows, temperature=temperature, **how)
    assert (got - want).abs().max() < 1e-4, "packed and padded log-probabilities differ"
    assert (got_entropies - want_entropies).abs().max() < 1e-4, "packed and padded entropies differ"
    wanted, gotten = gradients(model, want, want_entropies), gradients(model, got, got_entropies)
    scale = torch.stack([g.norm() for g in wanted]).max()
    for (name, _), one, other in zip(model.named_parameters(), gotten, wanted, strict=True):
        # A gradient that all but cancels has no relative precision to lose.
        limit = 1e-4 * max(float(other.norm()), 1e-2 * float(scale))
        assert (one - other).norm() <= limit, f"packed and padded gradients of {name} differ"


tokens = st.integers(3, 7)  # few, so that rows share starts by accident as well
answers = st.lists(tokens, min_size=1, max_size=6)
questions = st.lists(tokens, min_size=1, max_size=5)


@st.composite
def forests(draw) -> list[Row]:
    """1 to 8 contexts longer and shorter than the window, questions repeated across them, 1 to 4 answers of each."""
    contexts = draw(st.lists(st.lists(tokens, min_size=1, max_size=2 * WINDOW), min_size=1, max_size=8))
    asked = draw(st.lists(questions, min_size=1, max_size=3))
    rows = []
    for context in contexts:
        question = draw(st.sampled_from(asked))
        for answer in draw(st.lists(answers, min_size=1, max_size=4)):
            rows.append(Row((*context, *question, *answer), len(answer)))
    return draw(st.permutations(rows))


TREES = [  # the shapes that a bug would hide in, whatever hypothesis draws
    pytest.param([Row((3, 4), 1)], id="one row of one answer token"),
    pytest.param([Row((3, 4, 5), 1)] * 3, id="the same row three times"),
    pytest.param([Row((3, 4, 5, 6), 2), Row((3, 4, 5), 1), Row((3, 4, 5, 6, 7), 3)], id="answers that begin alike"),
    pytest.param([Row((3, 4, 5, 6), 1), Row((3, 4, 5, 6), 3)], id="one row's prompt is another's answer"),
    pytest.param(
        [Row((*range(3, 20), 3), 1), Row((*range(3, 20), 4, 5), 2), Row((9, 9), 1)], id="longer than the window"
    ),
]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma3", "gemma2"])
@pytest.mark.parametrize("rows", TREES)
def test_known_trees_train_as_padded_rows_do(family, attention, rows):
    for attention_weight in (ONE_ROW_EACH, ONE_SEQUENCE):
        assert_equal_training(tiny(family, attention), rows, attention_weight=attention_weight)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma3"])
def test_random_trees_train_as_padded_rows_do(family, attention):
    model = tiny(family, attention)

    @given(forests(), st.sampled_from([ONE_ROW_EACH, 0.1, 0.02, ONE_SEQUENCE]), st.sampled_from([0.7, 1.0, 1.5]))
    @settings(max_examples=25, deadline=None)
    def check(rows, attention_weight, temperature):
        assert_equal_training(model, rows, temperature, attention_weight=attention_weight)

    check()


@pytest.mark.parametrize("family", ["gemma3-softcap", "gemma2"])
def test_capped_logits_train_as_padded_rows_do(family):
    model = tiny(family)
    assert model.config.final_logit_softcapping, "the model must cap its logits for this test to say anything"
    rows = [Row((3, 4, 5, 6), 2), Row((3, 4, 7), 1), Row((8, 9, 3, 3, 3), 3)]
    assert_equal_training(model, rows, temperature=0.8)


@pytest.mark.parametrize("head_rows", [1, 2, 3])
def test_the_size_of_head_chunks_changes_nothing(monkeypatch, head_rows):
    monkeypatch.setattr(packing, "HEAD_ROWS", head_rows)
    rows = [Row((3, 4, 5, 6, 7), 3), Row((3, 4, 5, 7), 2), Row((3, 4, 6, 5, 5), 2), Row((9, 3, 4), 1)]
    assert_equal_training(tiny("llama"), rows)
    assert_equal_training(tiny("llama"), rows, attention_weight=ONE_ROW_EACH)


def test_no_chunk_of_the_head_exceeds_its_bound(monkeypatch):
    seen = []
    model = tiny("llama")
    handle = model.lm_head.register_forward_hook(
        lambda module, inputs, output: seen.append(output.flatten(0, -2).size(0))
    )
    monkeypatch.setattr(packing, "HEAD_ROWS", 2)
    try:
        packed_logps(model, [Row((3, 4, 5, 6, 7), 4), Row((8, 4, 5, 6, 7), 4)])
    finally:
        handle.remove()
    chunked = [size for size in seen if size > 1]
    assert max(chunked) == 2, f"the head ran on {max(chunked)} rows at once, past HEAD_ROWS=2"


def test_entropies_carry_a_gradient_only_when_asked():
    model, packed = tiny("llama"), pack([Row((3, 4, 5, 6), 2)])
    _, with_grad = forward_packed(model, model, packed, temperature=1.0, entropy_grad=True)
    logps, without = forward_packed(model, model, packed, temperature=1.0, entropy_grad=False)
    assert with_grad.requires_grad, "an entropy bonus needs the gradient"
    assert not without.requires_grad, "without a bonus the entropy's graph would only cost memory"
    assert logps.requires_grad, "log-probabilities always train"


def test_rows_come_back_in_the_order_given():
    model = tiny("llama")
    rows = [Row((9, 8, 7), 2), Row((3, 4, 5), 1), Row((6, 4, 5), 2)]
    forwards, _ = packed_logps(model, rows)
    backwards, _ = packed_logps(model, rows[::-1])
    torch.testing.assert_close(forwards, backwards.flip(0), msg="a row's log-probabilities moved to another row")


def test_places_past_a_rows_end_are_zero_and_as_wide_as_asked():
    packed = pack([Row((3, 4, 5), 1), Row((3, 4, 5, 6), 2)], width=5)
    logps, entropies = forward_packed(tiny("llama"), tiny("llama"), packed, temperature=1.0, entropy_grad=False)
    assert logps.shape == entropies.shape == (2, 5), "the result must be as wide as the padded completions"
    assert not logps[0, 1:].any(), "a row has ended, yet a log-probability stands there"
    assert not entropies[1, 2:].any(), "a row has ended, yet an entropy stands there"
    assert logps[0, 0] != 0.0, "the answer itself must be scored"


def test_rows_whose_answers_were_emptied_train_nothing_and_do_not_fail():
    model = tiny("llama")
    mixed, _ = packed_logps(model, [Row((3, 4, 5), 0), Row((3, 4, 5), 1)])
    torch.testing.assert_close(mixed[1:], padded_logps(model, [Row((3, 4, 5), 1)])[0], atol=1e-4, rtol=0)
    assert not mixed[0].any(), "an empty answer has no log-probabilities"
    packed = pack([Row((3, 4, 5), 0), Row((3,), 0)], width=2)
    logps, entropies = forward_packed(model, model, packed, temperature=1.0, entropy_grad=True)
    assert logps.shape == (2, 2), "a batch of empty answers keeps its shape"
    assert not logps.any(), "empty answers have no log-probabilities"
    grads = gradients(model, logps, entropies)
    assert not any(g.any() for g in grads), "empty answers must not move the weights"


def test_a_row_without_a_prompt_is_refused():
    with pytest.raises(ValueError, match="prompt"):
        pack([Row((3, 4), 2)])


@given(forests())
@settings(max_examples=60, deadline=None)
def test_a_tree_has_one_token_per_distinct_beginning(rows):
    beginnings = {row.ids[:n] for row in rows for n in range(1, len(row.ids))}
    assert tree_tokens(rows) == len(beginnings), "every shared beginning counts once, the last token never"
    assert pack(rows, attention_weight=ONE_SEQUENCE).tokens == len(beginnings), "pack and tree_tokens disagree"


@given(forests(), st.sampled_from([ONE_ROW_EACH, 0.1, 0.02, ONE_SEQUENCE]))
@settings(max_examples=60, deadline=None)
def test_every_token_sees_its_own_row_and_nothing_else(rows, attention_weight):
    packed = pack(rows, attention_weight=attention_weight)
    length = packed.input_ids_S_L.size(1)
    for i, row in enumerate(rows):
        edge = int(packed.edge_B_T[i, row.answer - 1])
        sequence, place = divmod(int(packed.source_E[edge]), length)
        seen = packed.sees_S_L_L[sequence, place].nonzero()[:, 0]
        order = packed.positions_S_L[sequence, seen].argsort()
        ids = packed.input_ids_S_L[sequence, seen[order]].tolist()
        assert (*ids, int(packed.token_E[edge])) == row.ids, "the last answer token does not follow its own row"
        positions = packed.positions_S_L[sequence, seen].sort().values.tolist()
        assert positions == list(range(len(row.ids) - 1)), "positions along a row must count from 0"


def test_dearer_attention_makes_shorter_sequences():
    rows = [Row((context, *range(10, 30), answer), 1) for context in range(3, 9) for answer in (40, 41)]
    long, short = pack(rows, attention_weight=ONE_SEQUENCE), pack(rows, attention_weight=0.1)
    assert long.input_ids_S_L.size(0) == 1, "everything fits one sequence"
    assert short.input_ids_S_L.size(0) > 1, "the rows must be cut into several sequences"
    assert short.input_ids_S_L.size(1) < long.input_ids_S_L.size(1), "cutting must shorten the sequences"
    assert short.tokens == long.tokens, "cuts between rows that share nothing repeat no token"


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma3", "gemma3-softcap", "gemma2"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_architectures_that_are_exact_are_packed(family, attention):
    assert why_not(tiny(family, attention)) is None, f"{family} with {attention} attention is exact"


def other(config) -> PreTrainedModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config).eval()


def flash() -> PreTrainedModel:
    model = build("llama")
    model.config._attn_implementation = "flash_attention_2"
    return model


def linear_layers() -> PreTrainedModel:
    return other(Qwen3NextConfig(**SHAPE, layer_types=["linear_attention", "full_attention"], num_experts=2))


def alibi() -> PreTrainedModel:
    return other(FalconConfig(vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, alibi=True))


def recurrent() -> PreTrainedModel:
    return other(RwkvConfig(vocab_size=64, hidden_size=32, num_hidden_layers=2, attention_hidden_size=32))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (flash, "flash_attention_2"),
        (lambda: other(GraniteConfig(**SHAPE, logits_scaling=2.0)), "logits_scaling"),
        (linear_layers, "linear_attention"),
        (lambda: build("mistral"), "not declared by layer"),
        (lambda: build("gemma3", layer_types=["sliding_attention"] * 2), "all slide"),
        (alibi, "a trial"),
        (recurrent, "a trial"),
    ],
    ids=["flash", "scaled logits", "linear attention", "undeclared window", "only windows", "alibi", "recurrent"],
)
def test_architectures_that_are_not_exact_are_refused_with_the_reason(make, reason):
    problem = why_not(make())
    assert problem is not None, "packing such a model would train on wrong log-probabilities"
    assert reason in problem, f"the user reads '{problem}', which does not say what stands in the way"


def test_asking_leaves_the_model_in_its_mode():
    model = build("llama").train()
    why_not(model)
    assert model.training, "the trial must hand the model back as it was"


def test_a_layer_that_ignores_the_mask_is_noticed():
    """The trial is the net under the list of known reasons, so it must catch a fault the list cannot name."""
    model = build("llama")
    attention = model.model.layers[1].self_attn
    plain = attention.forward
    attention.forward = lambda *args, **kwargs: plain(*args, **{**kwargs, "attention_mask": None})
    assert "a trial" in str(why_not(model)), "a layer that sees other rows' tokens was not noticed"


def test_a_trial_that_raises_is_a_reason_and_not_a_crash(monkeypatch):
    def choke(*args, **kwargs):
        raise RuntimeError("a mask of four dimensions")

    monkeypatch.setattr(packing, "forward_packed", choke)
    assert "a mask of four dimensions" in str(why_not(tiny("llama"))), "the reason must carry the error's own words"


def test_contexts_are_cut_apart_and_never_in_two_without_need():
    """Four contexts of 120 tokens, as in a step: one sequence each, and no context is computed twice."""
    rows = [
        Row((*range(1000 * c, 1000 * c + 120), *range(10 * q, 10 * q + 25), answer), 1)
        for c in range(4)
        for q in range(8)
        for answer in (1, 2)
    ]
    packed = pack(rows)
    assert packed.tokens == tree_tokens(rows), "a context was cut in two"
    assert packed.input_ids_S_L.size(0) == 4
    assert packed.input_ids_S_L.numel() <= 1.05 * packed.tokens, "padding costs what sharing saved"


@given(forests(), st.sampled_from([ONE_ROW_EACH, 0.1, 0.02, ONE_SEQUENCE]))
@settings(max_examples=60, deadline=None)
def test_every_row_lies_in_exactly_one_sequence(rows, attention_weight):
    placed = [i for sequence in lay_out(rows, attention_weight) for i in sequence]
    assert sorted(placed) == list(range(len(rows)))


def after_constants(model, rows: list[Row], width: int) -> Tensor:
    """Log-probabilities of padded answers, one row at a time, each after a cache that has no graph."""
    found = []
    for row in rows:
        ids, past = torch.tensor([row.ids[:-1]]), None
        if row.fixed:
            with torch.no_grad():
                past = model(input_ids=ids[:, : row.fixed], use_cache=True).past_key_values
        logits = model(input_ids=ids[:, row.fixed :], past_key_values=past, use_cache=True).logits[0]
        logps = logits[len(logits) - row.answer :].float().log_softmax(-1)
        taken = logps.gather(1, torch.tensor(row.ids[len(row.ids) - row.answer :])[:, None])[:, 0]
        found.append(torch.nn.functional.pad(taken, (0, width - row.answer)))
    return torch.stack(found)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_no_gradient_passes_through_constants_and_nothing_else_changes(family, attention):
    model = tiny(family, attention)

    @given(forests(), st.sampled_from([ONE_ROW_EACH, 0.1, ONE_SEQUENCE]), st.randoms(use_true_random=False))
    @settings(max_examples=15, deadline=None)
    def check(rows, attention_weight, rng):
        most: dict[int, int] = {}  # rows that begin alike have as many constants
        for row in rows:
            most[row.ids[0]] = min(most.get(row.ids[0], 99), len(row.ids) - row.answer - 1)
        fixed = {first: rng.randint(0, number) for first, number in most.items()}
        rows = [replace(row, fixed=fixed[row.ids[0]]) for row in rows]
        width = max(row.answer for row in rows)
        weights = torch.rand(len(rows), width, generator=torch.Generator().manual_seed(rng.randint(0, 999)))
        packed = pack(rows, attention_weight=attention_weight)
        ours, _ = forward_packed(model, model, packed, temperature=1.0, entropy_grad=False)
        theirs = after_constants(model, rows, width)
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
        gotten = torch.autograd.grad((ours * weights).sum(), list(model.parameters()), allow_unused=True)
        wanted = torch.autograd.grad((theirs * weights).sum(), list(model.parameters()), allow_unused=True)
        scale = torch.cat([one.flatten() for one in wanted if one is not None]).norm()
        for (name, _), one, other in zip(model.named_parameters(), gotten, wanted, strict=True):
            assert (one is None) == (other is None)
            if one is not None:
                assert (one - other).norm() <= 1e-4 * max(float(other.norm()), 1e-2 * float(scale)), name

    check()


@pytest.mark.real_model
def test_smollm2_trains_on_trees_as_on_padded_rows():
    """Two contexts, ragged questions, answers that share their beginnings, a row alone and one with an empty answer."""
    model = load_model(resolve_model(EMBEDDED))
    assert why_not(model) is None
    draw = random.Random(0)

    def text(n: int) -> tuple[int, ...]:
        return tuple(draw.randrange(100, 40000) for _ in range(n))

    contexts, questions = [text(40), text(23)], [text(12), text(7)]
    rows = []
    for context in contexts:
        for question in questions:
            answer = text(4)
            rows += [Row(context + question + answer[:n], n) for n in (1, 3, 4)]
            rows.append(Row(context + question + text(2), 2))
    rows += [Row(text(30), 3), Row(contexts[0] + questions[0], 0)]
    with torch.no_grad():
        assert (packed_logps(model, rows)[0] - padded_logps(model, rows)[0]).abs().max() < 1e-4
    few = rows[:6]
    assert_equal_training(model, few)
