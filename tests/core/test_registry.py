"""Registries: names, the nearest name for a typo, and dotted paths to a user's own factory."""

from __future__ import annotations

import pytest

from fastslow.core.errors import BadInput
from fastslow.core.registry import LISTED, Registry, load_dotted, nearest


def registry(*names: str) -> Registry:
    made: Registry = Registry("proposer")
    for name in names:
        made.register(name)(lambda name=name: f"made {name}")
    return made


def test_a_registered_factory_is_found_by_its_name_and_left_as_it_was() -> None:
    made = registry("alpha", "beta")

    @made.register("gamma")
    def gamma() -> str:
        return "gamma itself"

    assert gamma() == "gamma itself", "register must hand the factory back"
    assert made.factory("gamma") is gamma
    assert made.factory("beta")() == "made beta"
    assert made.names() == ["alpha", "beta", "gamma"]


def test_names_are_listed_in_order_whatever_the_order_of_registration() -> None:
    assert registry("b", "c", "a").names() == ["a", "b", "c"]


def test_a_typo_is_answered_with_what_it_was_meant_for_and_the_name_given() -> None:
    with pytest.raises(BadInput, match=r"unknown proposer 'reflexion'\. Did you mean 'reflection'\?"):
        registry("demonstrations", "reflection").factory("reflexion")


def test_a_name_like_no_other_is_answered_with_all_there_is() -> None:
    with pytest.raises(BadInput, match=r"Known: alpha, beta\."):
        registry("beta", "alpha").factory("zzzz")


def test_a_long_list_of_names_is_cut_and_says_how_much_is_missing() -> None:
    text = nearest("zzzz", [f"name-{i:02}" for i in range(LISTED + 3)])
    assert text.endswith(f"name-{LISTED - 1:02} and 3 more.")
    assert f"name-{LISTED:02}" not in text


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    """A module of the user's on the path."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "parts.py").write_text("import json\n\ndef factory():\n    return 'mine'\n")
    (tmp_path / "alone.py").write_text("def factory():\n    return 'mine'\n")
    (folder / "broken.py").write_text("raise OSError('no disk')\n")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.parametrize("path", ["mine.parts:factory", "mine.parts.factory"])
def test_a_dotted_path_names_the_users_own_factory(user_module, path: str) -> None:
    assert registry("alpha").factory(path)() == "mine"
    assert load_dotted(path, "scorer")() == "mine"


@pytest.mark.parametrize(
    ("spec", "arguments"),
    [
        ("mine.parts.factory", ""),
        ("mine.parts.factory:0.5,0.5", "0.5,0.5"),
        ("mine.parts.factory:word", "word"),
        ("mine.parts.factory:a:b", "a:b"),
        ("mine.parts:factory", ""),
        ("mine.parts:factory:0.5", "0.5"),
        ("alone.factory:word", "word"),
        ("alone:factory", ""),
        ("alone:factory:word", "word"),
    ],
)
def test_a_factory_of_the_users_own_may_have_arguments(user_module, spec: str, arguments: str) -> None:
    factory, found = registry("alpha").resolve(spec)
    assert (factory(), found) == ("mine", arguments)


def test_a_name_of_ours_wins_over_a_path_and_a_typo_over_an_import(user_module) -> None:
    factory, arguments = registry("alpha").resolve("alpha:x:y")
    assert (factory(), arguments) == ("made alpha", "x:y")
    for spec in ("alhpa", "alhpa:0.5"):
        with pytest.raises(BadInput, match=r"unknown proposer 'alhpa'\. Did you mean 'alpha'"):
            registry("alpha").resolve(spec)
    with pytest.raises(BadInput, match=r"Leave out '\.py': alone:factory"):
        registry("alpha").resolve("alone.py:factory")
    with pytest.raises(BadInput, match=r"has no 'factoty'\. Did you mean 'factory'"):
        registry("alpha").resolve("mine.parts.factoty:0.5")


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("mine.absent:factory", r"proposer 'mine\.absent:factory': importing 'mine\.absent' failed \(ModuleNotFound"),
        ("mine.broken:factory", r"importing 'mine\.broken' failed \(OSError: no disk\)"),
        ("mine.parts:factoty", r"'mine\.parts' has no 'factoty'\. Did you mean 'factory'\?"),
        (":factory", "is not a dotted path"),
        ("mine.parts:", r"'mine\.parts' has no ''"),
    ],
)
def test_a_path_that_leads_nowhere_says_which_part_failed(user_module, path: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        registry("alpha").factory(path)


def test_a_missing_attribute_suggests_only_what_the_module_defines_itself(user_module) -> None:
    with pytest.raises(BadInput) as caught:
        load_dotted("mine.parts:zzzz", "scorer")
    assert str(caught.value).endswith("Known: factory.")


def test_a_registered_name_wins_over_a_path(user_module) -> None:
    assert registry("mine.parts:factory").factory("mine.parts:factory")() == "made mine.parts:factory"
