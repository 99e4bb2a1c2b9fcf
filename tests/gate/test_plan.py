"""A plan says how many questions a policy needs, and loads no model for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastslow.cli.main import main
from fastslow.gate.plan import plan
from fastslow.gate.policy import parse_policy
from tests.support.registries import registry_of_two


def lines(text: str, **more: Any) -> str:
    return "\n".join(plan(parse_policy(text.encode(), "policy"), **more))


def test_the_numbers_are_those_of_the_simulation() -> None:
    """With 400 questions, a margin of 5 points and models that differ on 10%, 93% of equal candidates pass."""
    assert "differ on 10%: 248 for 80%, 343 for 90%; with 400: 93.5%" in lines("retain: [{task: star_graph}]")


def test_several_tasks_are_harder_to_pass_together() -> None:
    text = lines("retain: [{task: star_graph}, {task: codeio}, {task: polaris}]")
    assert "all 3 are passed together with 81.9%" in text


def test_a_margin_that_no_candidate_can_lose_needs_a_question() -> None:
    assert "margin 1" in lines("retain: [{task: star_graph, margin: 1.0}]")


def test_the_chances_are_those_of_the_questions_that_there_are() -> None:
    text = lines("retain: [{task: a}]\ngain: [{task: b, min_gain: 0.1}]", known={"a": 100, "b": 22})
    assert "'a' has at most 100 questions for a gate" in text
    assert "differ on 10%: 248 for 80%, 343 for 90%; with 100: " in text
    assert "30 points: 45 for 90%; with 22: 65.6%" in text


def test_a_margin_that_the_champion_cannot_lose_is_named() -> None:
    policy = "retain: [{task: a, margin: 0.3}]"
    assert "the champion's mean reward was 0.227: it cannot lose 30 points" in lines(policy, levels={"a": 0.227})
    assert "cannot lose" not in lines(policy, levels={"a": 0.6})


def test_no_gain_above_all_and_no_missing_number_is_shown() -> None:
    said = lines("gain: [{task: b, min_gain: 0.85}]")
    assert "90 points" in said
    assert "95 points" in said
    assert "105 points" not in said
    assert "gains 100 points: ask for less" in lines("gain: [{task: b, min_gain: 0.99}]")
    said = lines("retain: [{task: a, margin: 0.0001}]")
    assert "more than 10,000,000 for 80%" in said
    assert "None" not in said


def test_what_guessing_gives_cannot_be_lost() -> None:
    policy = "retain: [{task: a, margin: 0.3, chance: 0.25}]"
    said = lines(policy, levels={"a": 0.5})
    assert "was 0.500, and guessing gives 0.25: it cannot lose 30 points" in said
    assert "give a margin below 0.25" in said
    assert "it has nothing to lose there" in lines(policy, levels={"a": 0.25})
    assert "cannot lose" not in lines(policy, levels={"a": 0.56})
    surely = lines("retain: [{task: a, margin: 0.05, chance: 0.99}]")
    assert "no model is better than that by 5 points, and this can never be passed" in surely


def test_a_task_that_cannot_be_made_is_noted_and_one_that_has_few_questions_is_known(
    tmp_path: Path, capsys: Any
) -> None:
    products = "reasoning_gym:products?min_terms=2&max_terms=2&min_digits=1&max_digits=1"
    (tmp_path / "gate.yaml").write_text(f"retain: [{{task: star_grap}}, {{task: '{products}'}}]")
    assert main(["gate", "--policy", str(tmp_path / "gate.yaml"), "--plan"]) == 0
    said = capsys.readouterr()
    assert "max_terms=2&min_digits=1&min_terms=2' has at most 100 questions for a gate" in said.out
    assert "how many questions 'star_grap' has is not known here" in said.err


def test_a_plan_needs_no_candidate(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "gate.yaml").write_text("gain: [{task: star_graph, min_gain: 0.1}]\nquestions: 100\n")
    assert main(["gate", "--policy", str(tmp_path / "gate.yaml"), "--plan"]) == 0
    assert "gain star_graph, above 0.1" in capsys.readouterr().out


def test_a_plan_has_what_the_policy_takes_over_from_the_champion(tmp_path: Path, capsys: Any) -> None:
    registry, _, _ = registry_of_two(tmp_path)
    (tmp_path / "gate.yaml").write_text("questions: 100\n")
    plan_of = ["gate", "--policy", str(tmp_path / "gate.yaml"), "--plan"]
    assert main([*plan_of, "--baseline", f"{registry.folder}@champion"]) == 0
    assert "retain old, margin 0.05" in capsys.readouterr().out
    assert main(plan_of) == 2
    assert "asks for nothing" in capsys.readouterr().err
