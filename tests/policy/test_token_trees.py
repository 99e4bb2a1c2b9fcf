"""Shared tokens are counted once, and every row lies in exactly one sequence."""

from __future__ import annotations

import numpy as np

from fastslow.policy.token_trees import Row, cost, grow, lay_out, padded_cost, tree_tokens


def rows(*texts: str) -> list[Row]:
    return [Row(tuple(map(ord, text)), answer=1) for text in texts]


def test_a_shared_beginning_is_computed_once_and_the_last_token_never() -> None:
    assert tree_tokens(rows("abcx", "abdx")) == len("abc") + len("d")
    assert tree_tokens(rows("abcx", "abcy")) == len("abc")
    assert tree_tokens(rows("abx", "cdx")) == 4


def test_the_order_of_rows_does_not_change_the_count() -> None:
    assert tree_tokens(rows("abcx", "axx", "abdx")) == tree_tokens(rows("axx", "abdx", "abcx"))


def test_a_path_spells_its_row() -> None:
    batch = rows("abcx", "abdx", "az")
    tree = grow(batch, range(3))
    for i, row in enumerate(batch):
        assert tuple(tree.tokens[tree.paths[i]]) == row.ids[:-1]
        assert list(tree.depths[tree.paths[i]]) == list(range(len(row.ids) - 1))


def test_a_token_sees_its_ancestors_and_itself_alone() -> None:
    tree = grow(rows("abcx", "abdx"), range(2))
    c, d = (tree.paths[i][-1] for i in range(2))
    assert set(np.flatnonzero(tree.sees[c])) == set(tree.paths[0])
    assert not tree.sees[c, d]
    assert not tree.sees[d, c]


def test_every_row_is_laid_out_once() -> None:
    batch = rows("abcx", "zzx", "abdx", "qqqx", "zyx")
    assert sorted(i for sequence in lay_out(batch) for i in sequence) == [0, 1, 2, 3, 4]


def test_free_attention_keeps_one_tree_together() -> None:
    assert len(lay_out(rows("abcx", "abdx", "abex"), attention_weight=0.0)) == 1


def test_dear_attention_cuts_a_tree_that_shares_little() -> None:
    assert len(lay_out(rows("a" + "b" * 50, "a" + "c" * 50), attention_weight=1.0)) == 2


def test_a_longer_sequence_costs_more_than_two_halves() -> None:
    assert cost(1, 200, 0.01) > cost(2, 100, 0.01)
    assert padded_cost(rows("abcd", "ab")) == padded_cost(rows("abcd", "abcd"))
