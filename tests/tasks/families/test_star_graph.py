"""Star graphs: the graph asked for, one right path, and a word on the hop where another one fails."""

from __future__ import annotations

import functools
import itertools

import pytest

from fastslow.core.errors import BadInput
from fastslow.core.types import Example
from fastslow.tasks.families.star_graph import StarGraphTask
from fastslow.tasks.resolve import resolve_task
from tests.support.probes import check_survives

SPLITS = ("train", "validation", "test")


@functools.cache
def small() -> StarGraphTask:
    return StarGraphTask(4, 5, 60, train_size=120, validation_size=60, test_size=60)


def examples() -> list[Example]:
    return [example for split in SPLITS for example in small().split(split)]


def boxed(path) -> str:
    return f"\\boxed{{{','.join(map(str, path))}}}"


def neighbours(example: Example) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for a, b in example.payload["edges"]:
        found.setdefault(a, set()).add(b)
        found.setdefault(b, set()).add(a)
    return found


def test_every_graph_is_a_star_of_the_shape_asked_for():
    for example in examples():
        graph = neighbours(example)
        degrees = sorted(len(near) for near in graph.values())
        assert degrees == [1] * 4 + [2] * 12 + [4], "four arms of four nodes each and a hub"
        assert len(graph[example.payload["start"]]) == 4, "the hub is the start"
        assert len(graph[example.payload["goal"]]) == 1, "the end of an arm is the goal"
        assert all(0 <= node < 60 for node in graph)
        path = example.payload["path"]
        assert len(path) == 5, "the path has as many nodes as its name says, the hub counted"
        assert all(b in graph[a] for a, b in itertools.pairwise(path)), "the right path follows edges"


def test_neither_order_nor_orientation_of_edges_gives_the_path_away():
    forward, position = 0, 0
    for example in examples():
        edges, path = example.payload["edges"], example.payload["path"]
        forward += [path[0], path[1]] in edges
        position += [set(edge) for edge in edges].index({path[0], path[1]})
    n = len(examples())
    assert 0.35 < forward / n < 0.65, "an edge of the path is written in either direction"
    assert 6 < position / n < 9, "and stands anywhere among the 16"


def test_two_hundred_right_paths_score_one_and_corrupted_ones_zero():
    for number, example in enumerate(examples()[:200]):
        gold = small().answer(example)
        assert gold is not None
        assert small().score(example, f"Let me see: \\boxed{{1,2}}, no.\n{gold}").reward == 1.0, "the last box counts"
        path = list(example.payload["path"])
        corrupted = [path[::-1], path[:-1], [*path, path[-2]], [*path[:2], *path[1:]], path[1:], sorted(path)][
            number % 6
        ]
        if corrupted != path:
            assert small().score(example, boxed(corrupted)).reward == 0.0, corrupted


def test_forms_of_the_same_path_are_the_same_answer():
    example = examples()[0]
    path = example.payload["path"]
    for joint in (", ", "->", " -> ", " \\to ", "\u2192"):
        assert small().score(example, f"\\boxed{{ {joint.join(map(str, path))} }}").reward == 1.0, joint


def test_feedback_names_the_hop_where_the_path_fails():
    example = next(e for e in small().split("train"))
    path, graph = example.payload["path"], neighbours(example)
    dead = next(iter(graph[path[0]] - {path[1]}))
    far = next(node for node in graph if node not in graph[path[1]] and node != path[1])
    expected = {
        "": "The answer is empty.",
        "I do not know": "The answer has no \\boxed{...}.",
        "\\boxed{the left arm}": "What is boxed is no list of nodes separated by commas.",
        boxed(path[1:]): f"Wrong start: the path begins at {path[1]}, not at {path[0]}.",
        boxed([*path[:2], far, *path[3:]]): f"Hop 2, from {path[1]} to {far}, is not an edge.",
        boxed([path[0], dead]): f"Hop 1, from {path[0]} to {dead}, enters a dead branch: "
        f"that arm does not lead to {path[-1]}.",
        boxed([*path[:3], path[1]]): f"Hop 3, from {path[2]} to {path[1]}, goes back.",
        boxed([*path, path[-2]]): f"Hop 5, from {path[-1]} to {path[-2]}, goes back.",
        boxed(path[:-1]): f"Wrong end: the path stops at {path[-2]}, 1 hop short of {path[-1]}.",
        boxed(path[:1]): f"Wrong end: the path stops at {path[0]}, 4 hops short of {path[-1]}.",
    }
    for completion, said in expected.items():
        verdict = small().score(example, completion)
        assert (verdict.reward, verdict.feedback) == (0.0, f"{said} The right answer is '{boxed(path)}'."), completion


def test_feedback_on_held_out_examples_does_not_depend_on_the_right_path():
    for split in ("validation", "test"):
        one, other = small().split(split)[:2]
        path = one.payload["path"]
        dead = next(iter(neighbours(one)[path[0]] - {path[1]}))
        for completion in ("", "7", "\\boxed{x}", boxed([path[0], dead]), boxed(path[:2]), boxed(path[:-1])):
            said = small().score(one, completion).feedback
            assert said == small().score(other, completion).feedback, f"{said} tells of the graph"


def test_any_text_is_judged_in_time():
    check_survives(small(), examples(), [small().answer(e) or "" for e in examples()])


def test_the_default_is_the_papers_setting_and_fits_its_ids():
    task = StarGraphTask(train_size=2, validation_size=1, test_size=1)
    assert task.name == "star_graph?degree=25&ids=500&path=20"
    example = task.split("train")[0]
    assert len(neighbours(example)) == 1 + 25 * 19, (
        "with the hub counted outside the path, 501 nodes would need 501 ids"
    )
    assert task.score(example, task.answer(example) or "").reward == 1.0


def test_the_supply_has_no_end_and_follows_the_seed():
    few = resolve_task("star_graph?degree=3&path=3&ids=20", train_size=50)
    many = resolve_task("star_graph?degree=3&path=3&ids=20", train_size=500)
    other = resolve_task("star_graph?degree=3&path=3&ids=20", train_size=50, data_seed=1)
    assert many.split("train")[:50] == few.split("train"), "more of them begin with the same"
    assert len({e.id for e in many.split("train")}) == 500
    assert other.split("train") != few.split("train")
    held_out = {e.id for split in ("validation", "test") for e in few.split(split)}
    assert not held_out & {e.id for task in (many, other) for e in task.split("train")}


def test_a_graph_drawn_twice_with_its_edges_in_another_order_stays_in_its_split():
    task = StarGraphTask(2, 2, 4, train_size=200, validation_size=40, test_size=40)
    where: dict[tuple, set[str]] = {}
    for split in SPLITS:
        for example in task.split(split):
            edges = tuple(sorted(tuple(sorted(edge)) for edge in example.payload["edges"]))
            where.setdefault((edges, example.payload["goal"]), set()).add(split)
    assert len(where) < len(task.split("train")), "so small a shape has fewer graphs than questions"
    assert all(len(splits) == 1 for splits in where.values()), "the answer to a test question would be trained on"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("star_graph?degree=1", "'degree' must be at least 2, got 1"),
        ("star_graph?path=1", "'path' must be at least 2, got 1"),
        ("star_graph?ids=475", "make 476 nodes; 'ids' must lie between 476 and 1000000, got 475"),
        ("star_graph?ids=9999999", "'ids' must lie between"),
        ("star_graph?degree=200&path=20&ids=100000", "3801 nodes are more than 2500"),
        ("star_graph?degree=x", "'degree' must be a whole number, got 'x'"),
        ("star_graph?degrees=3", "no parameter 'degrees'. Did you mean 'degree'?"),
        ("star_graph:5", "takes parameters only"),
    ],
)
def test_shapes_that_cannot_be_built_are_refused_in_one_line(spec, said):
    with pytest.raises(BadInput) as caught:
        resolve_task(spec)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
