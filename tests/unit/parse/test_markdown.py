"""Markdown as people write it, before Python-Markdown sees it."""

import pytest

from streams.parse.markdown import Source, source


def test_front_matter_is_no_text_but_names_title_and_language() -> None:
    text = '---\ntitle: "Travel: by rail"\nlang: de-AT\ntags: [a]\n---\n# Head\n'
    assert source(text) == Source("# Head\n", "Travel: by rail", "de")


@pytest.mark.parametrize("text", ["---\n\nA rule first, no end", "text\n---\na: b\n---\n", "", "--- x\na\n---\n"])
def test_what_only_looks_like_front_matter_stays(text: str) -> None:
    assert source(text) == Source(text, None, None)


def test_a_list_right_below_a_paragraph_gets_a_blank_line() -> None:
    assert source("Steps:\n- one\n- two").text == "Steps:\n\n- one\n- two"
    assert source("Steps:\n1. one\n2. two").text == "Steps:\n\n1. one\n2. two"


def test_a_wrapped_line_that_begins_with_a_number_is_no_list() -> None:
    assert source("It was in\n1986. A year").text == "It was in\n1986. A year"


def test_the_items_and_wrapped_lines_of_a_list_are_left_alone() -> None:
    text = "- one\n  more\n- two\n    - deep\n- three"
    assert source(text).text == text


def test_a_fence_inside_an_item_is_moved_to_the_margin_with_its_lines() -> None:
    text = "1. Do:\n\n   ```sh\n   make\n     indented\n   ```\n2. Done"
    assert source(text).text == "1. Do:\n\n\n```sh\nmake\n  indented\n```\n2. Done"


def test_lines_in_a_fence_are_code_whatever_they_look_like() -> None:
    text = "```\ntext\n- no item\n~~~\n```\nafter"
    assert source(text).text == text
