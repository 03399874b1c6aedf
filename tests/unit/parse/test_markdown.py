"""Markdown as people write it."""

import pytest

from streams.parse.markdown import Source, html, source


def test_front_matter_is_no_text_but_names_title_and_language() -> None:
    text = '---\ntitle: "Travel: by rail"\nlang: de-AT\ntags: [a]\n---\n# Head\n'
    assert source(text) == Source("# Head\n", "Travel: by rail", "de")


@pytest.mark.parametrize("text", ["---\n\nA rule first, no end", "text\n---\na: b\n---\n", "", "--- x\na\n---\n"])
def test_what_only_looks_like_front_matter_stays(text: str) -> None:
    assert source(text) == Source(text, None, None)


def test_a_list_right_below_a_paragraph_is_a_list() -> None:
    assert html("Steps:\n- one\n- two").count("<li>") == 2
    assert html("Steps:\n1. one\n2. two").count("<li>") == 2


def test_a_wrapped_line_that_begins_with_a_number_is_no_list() -> None:
    assert "<li>" not in html("It was in\n1986. A year")


def test_a_fence_inside_an_item_is_code() -> None:
    page = html("1. Do:\n\n   ```sh\n   make\n     indented\n   ```\n2. Done")
    assert "make\n  indented\n</code>" in page
    assert page.count("<li>") == 2


def test_lines_in_a_fence_are_code_whatever_they_look_like() -> None:
    assert html("```\ntext\n- no item\n~~~\n```\nafter") == (
        "<pre><code>text\n- no item\n~~~\n</code></pre>\n<p>after</p>\n"
    )
