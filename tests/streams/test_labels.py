"""Labels are true, hidden, or wrong for a fixed share of the examples."""

from __future__ import annotations

import pytest

from fastslow.core.errors import BadInput
from fastslow.streams.labels import Labels, noise_of
from tests.streams.helpers import examples

TASKS = ["a", "b", "c"]


def test_visible_labels_are_the_tasks() -> None:
    assert {Labels("visible", tasks=TASKS, seed=0).of(e) for e in examples(20, "a")} == {"a"}


def test_hidden_labels_are_empty() -> None:
    assert {Labels("hidden", tasks=TASKS, seed=0).of(e) for e in examples(20, "a")} == {""}


def test_a_noisy_label_is_another_task_for_about_its_share() -> None:
    labels = [Labels("noisy:0.3", tasks=TASKS, seed=0).of(e) for e in examples(1000, "a")]
    assert sum(label != "a" for label in labels) / 1000 == pytest.approx(0.3, abs=0.05)
    assert set(labels) == set(TASKS)


def test_the_same_examples_are_mislabelled_every_time() -> None:
    first, second = (Labels("noisy:0.5", tasks=TASKS, seed=0) for _ in range(2))
    assert [first.of(e) for e in examples(50, "a")] == [second.of(e) for e in examples(50, "a")]


def test_noise_needs_a_second_task() -> None:
    with pytest.raises(BadInput, match="several tasks"):
        Labels("noisy:0.5", tasks=["a"], seed=0)


@pytest.mark.parametrize("spec", ["", "noisy", "noisy:2", "noisy:nan", "visible:1", "hiden"])
def test_an_unknown_rule_is_refused(spec: str) -> None:
    with pytest.raises(BadInput, match="labels are"):
        noise_of(spec)


def test_a_misspelt_rule_gets_the_nearest_one() -> None:
    with pytest.raises(BadInput, match="Did you mean 'hidden'"):
        noise_of("hiden")
