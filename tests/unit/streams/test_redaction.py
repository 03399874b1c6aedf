"""What becomes of findings: which count, what the text is after, and where its places lie in the text as parsed."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.redaction import Action, Kind, Policy, Redaction, policy_of
from streams.core.blocks import BlockKind, ParsedDocument, Piece, assemble
from streams.core.redaction import Finding, chosen, pseudonyms, redact_document, redact_text

PSEUDONYM = pseudonyms(b"key", "acme")
ACTIONS = st.fixed_dictionaries({kind: st.sampled_from(Action) for kind in Kind})


def policy(**actions: Action) -> Policy:
    return policy_of(Redaction(profile="strict", kinds={Kind(name): action for name, action in actions.items()}))


def finding(text: str, value: str, kind: Kind = Kind.EMAIL, score: float = 1.0) -> Finding:
    start = text.index(value)
    return Finding(kind, start, start + len(value), score)


@st.composite
def findings_in(draw: st.DrawFn, text: str) -> list[Finding]:
    found = []
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, len(text) - 1))
        end = draw(st.integers(start + 1, len(text)))
        found.append(Finding(draw(st.sampled_from(Kind)), start, end, draw(st.floats(0, 1))))
    return found


TEXTS = st.text(st.sampled_from("abc |\n@1."), min_size=1, max_size=40)


def test_each_action_does_what_it_says() -> None:
    text = "Write to a@b.example today."
    found = [finding(text, "a@b.example")]
    results = {action: redact_text(text, found, policy(EMAIL=action), PSEUDONYM).text for action in Action}
    assert results == {
        Action.MASK: "Write to [EMAIL] today.",
        Action.PSEUDONYMISE: f"Write to [EMAIL:{PSEUDONYM(Kind.EMAIL, 'a@b.example')}] today.",
        Action.DROP: "Write to  today.",
        Action.KEEP: text,
        Action.IGNORE: text,
    }


def test_equal_values_have_equal_pseudonyms_within_a_tenant_alone() -> None:
    assert PSEUDONYM(Kind.EMAIL, "A@b.example") == PSEUDONYM(Kind.EMAIL, "a@B.example")
    assert PSEUDONYM(Kind.PHONE, "+49 30 90-1820") == PSEUDONYM(Kind.PHONE, "+4930901820")
    assert PSEUDONYM(Kind.PERSON, "Ana  Lima") == PSEUDONYM(Kind.PERSON, "Ana Lima")
    others = (pseudonyms(b"key", "other"), pseudonyms(b"other", "acme"))
    tokens = {PSEUDONYM(Kind.EMAIL, "a@b.example"), PSEUDONYM(Kind.PERSON, "a@b.example")}
    tokens |= {other(Kind.EMAIL, "a@b.example") for other in others}
    assert len(tokens) == 4


@pytest.mark.parametrize(
    ("kind", "value", "other"),
    [
        (Kind.CREDIT_CARD, "4111111111111111", "４１１１ １１１１ １１１１ １１１１"),
        (Kind.PRIVATE, "J\u00f6rg", "Jo\u0308rg"),
        (Kind.PRIVATE, "030 901820", "030-901820"),
        (Kind.PRIVATE, "Jane Roe", "jane_roe"),
        (Kind.PRIVATE, "O'Brien", "O’Brien"),
        (Kind.PRIVATE, "株式会社ＡＢＣ", "株式会社ABC"),
        (Kind.EMAIL, "a@b.co", "a [at] b(dot)CO"),
        (Kind.PERSON, "Ren\u00e9 Roe", "Rene\u0301 Roe"),
    ],
)
def test_a_value_has_one_pseudonym_however_it_is_spelled(kind: Kind, value: str, other: str) -> None:
    assert PSEUDONYM(kind, value) == PSEUDONYM(kind, other)


@pytest.mark.parametrize(
    ("kind", "value", "other"),
    [
        (Kind.IP, "1.22.3.4", "12.2.3.4"),
        (Kind.PRIVATE, "+++", "---"),
        (Kind.PRIVATE, "\u0930\u093e\u092e", "\u0930\u092e\u093e"),
        (Kind.EMAIL, "a.b@c.co", "ab@c.co"),
    ],
)
def test_values_that_differ_have_pseudonyms_that_differ(kind: Kind, value: str, other: str) -> None:
    assert PSEUDONYM(kind, value) != PSEUDONYM(kind, other)


def test_a_finding_below_its_threshold_does_not_count() -> None:
    text = "maybe 555 0101"
    found = [finding(text, "555 0101", Kind.PHONE, 0.4)]
    assert redact_text(text, found, policy(), PSEUDONYM).text == text
    lower = policy_of(Redaction(profile="strict", thresholds={Kind.PHONE: 0.3}))
    assert redact_text(text, found, lower, PSEUDONYM).text == "maybe [PHONE]"


def test_of_two_that_overlap_the_surer_wins_and_what_is_beyond_it_goes_as_well() -> None:
    text = "id 536-22-8726 777"
    found = [finding(text, "536-22-8726", Kind.SSN, 0.9), finding(text, "536-22-8726 777", Kind.PHONE, 0.6)]
    assert redact_text(text, found, policy(), PSEUDONYM).text == "id [SSN][PHONE]"


def test_a_value_that_must_go_wins_over_a_surer_one_that_may_stay() -> None:
    text = "ana.lima@b.example"
    found = [finding(text, text, Kind.EMAIL, 1.0), finding(text, "lima", Kind.PRIVATE, 0.6)]
    assert redact_text(text, found, policy(EMAIL=Action.KEEP), PSEUDONYM).text == "ana.[PRIVATE]@b.example"


@given(st.data(), ACTIONS)
def test_nothing_chosen_overlaps_and_every_place_that_must_go_is_gone(data: st.DataObject, actions) -> None:  # type: ignore[no-untyped-def]
    text = data.draw(TEXTS)
    found = data.draw(findings_in(text))
    using = Policy(actions, dict.fromkeys(Kind, 0.5))
    kept = chosen(found, using)
    assert all(left.end <= right.start for left, right in pairwise(kept))
    gone = {
        place
        for one in found
        if one.score >= 0.5 and actions[one.kind] not in (Action.KEEP, Action.IGNORE)
        for place in range(one.start, one.end)
    }
    redacted = redact_text(text, found, using, PSEUDONYM)
    taken = {place for edit in redacted.edits if not edit.kept for place in range(edit.start, edit.end)}
    assert taken == gone


@given(st.data(), ACTIONS)
def test_a_place_in_the_text_after_leads_to_the_same_character_as_parsed(data: st.DataObject, actions) -> None:  # type: ignore[no-untyped-def]
    text = data.draw(TEXTS)
    redacted = redact_text(text, data.draw(findings_in(text)), Policy(actions, dict.fromkeys(Kind, 0.5)), PSEUDONYM)
    replaced = {place for edit in redacted.edits if not edit.kept for place in range(edit.new_start, edit.new_end)}
    for place, character in enumerate(redacted.text):
        start, end = redacted.source_span(place, place + 1)
        assert 0 <= start < end <= len(text)
        if place not in replaced:
            assert text[start:end] == character


def document(*pieces: Piece) -> ParsedDocument:
    return assemble(pieces, title=None, language=None, kind="text")


@given(st.lists(st.tuples(st.sampled_from(BlockKind), TEXTS), min_size=1, max_size=5), st.data(), ACTIONS)
def test_blocks_stay_in_order_and_say_what_lies_at_their_place(parts, data: st.DataObject, actions) -> None:  # type: ignore[no-untyped-def]
    before = document(*(Piece(kind, text) for kind, text in parts))
    if not before.text:
        return
    using = Policy(actions, dict.fromkeys(Kind, 0.5))
    after, redacted = redact_document(before, data.draw(findings_in(before.text)), using, PSEUDONYM)
    assert after.text == redacted.text
    assert all(after.text[block.start : block.end] == block.text for block in after.blocks)
    assert all(block.text.strip() for block in after.blocks)
    assert all(left.end <= right.start for left, right in pairwise(after.blocks))
    tables = [block.text for block in before.blocks if block.kind is BlockKind.TABLE]
    if Action.DROP not in actions.values():
        assert [block.text.count("\n") for block in after.blocks if block.kind is BlockKind.TABLE] == [
            table.count("\n") for table in tables
        ]
        assert len(after.blocks) == len(before.blocks)


def test_page_breaks_move_along_with_the_text() -> None:
    text = "Ask a@b.example or c@d.example for the rest."
    breaks = ((text.index("or"), 2), (text.index("d.example"), 3), (text.index("for"), 4))
    parsed = document(Piece(BlockKind.PARAGRAPH, "x@y.example"), Piece(BlockKind.PARAGRAPH, text, page_breaks=breaks))
    found = [finding(parsed.text, value) for value in ("x@y.example", "a@b.example", "c@d.example")]
    redacted, _ = redact_document(parsed, found, policy(EMAIL=Action.MASK), PSEUDONYM)
    _, block = redacted.blocks
    assert block.text == "Ask [EMAIL] or [EMAIL] for the rest."
    assert [(block.text[at:], page) for at, page in block.page_breaks] == [
        ("or [EMAIL] for the rest.", 2),
        ("[EMAIL] for the rest.", 3),
        ("for the rest.", 4),
    ]


def test_a_break_within_a_dropped_value_at_the_end_stays_within_the_block() -> None:
    text = "Ask a@b.example"
    parsed = document(Piece(BlockKind.PARAGRAPH, text, page_breaks=((10, 2),)))
    redacted, _ = redact_document(parsed, [finding(text, "a@b.example")], policy(EMAIL=Action.DROP), PSEUDONYM)
    assert all(0 <= at <= len(block.text) for block in redacted.blocks for at, _ in block.page_breaks)


def test_a_block_of_which_nothing_is_left_is_gone() -> None:
    before = document(Piece(BlockKind.PARAGRAPH, "a@b.example"), Piece(BlockKind.PARAGRAPH, "Stays."))
    found = [finding(before.text, "a@b.example")]
    after, redacted = redact_document(before, found, policy(EMAIL=Action.DROP), PSEUDONYM)
    (block,) = after.blocks
    assert block.text == "Stays."
    assert before.text[slice(*redacted.source_span(block.start, block.end))] == "Stays."


def test_a_finding_over_the_cells_of_a_table_leaves_the_cells() -> None:
    before = document(Piece(BlockKind.TABLE, "name | city\nAna Lima | Porto", header_lines=1))
    found = [finding(before.text, "Ana Lima | Porto", Kind.PERSON)]
    after, _ = redact_document(before, found, policy(), PSEUDONYM)
    assert after.text == "name | city\n[PERSON] | [PERSON]"


def test_ten_thousand_values_are_a_matter_of_moments() -> None:
    text = " ".join(f"a{number}@b.example" for number in range(10_000))
    found = [Finding(Kind.EMAIL, place, place + 9, 1.0) for place in range(0, len(text) - 9, 12)]
    assert redact_text(text, found, policy(), PSEUDONYM).text.count("[EMAIL]") == len(found)


def test_ten_thousand_values_each_over_the_next_are_a_matter_of_moments() -> None:
    kinds = (Kind.EMAIL, Kind.PHONE)
    found = [Finding(kinds[number % 2], number * 10, number * 10 + 14, 0.9) for number in range(20_000)]
    kept = chosen(found, policy())
    assert len(kept) == len(found)
    assert all(left.end == right.start for left, right in pairwise(kept))


def test_a_policy_is_told_by_what_it_decides() -> None:
    default, strict = policy_of(Redaction()), policy_of(Redaction(profile="strict"))
    assert default.fingerprint != strict.fingerprint
    assert default.fingerprint == policy_of(Redaction(kinds={Kind.IBAN: Action.MASK})).fingerprint
    assert default.fingerprint != policy_of(Redaction(thresholds={Kind.IBAN: 0.9})).fingerprint
    assert default.fingerprint == policy_of(Redaction(thresholds={Kind.PERSON: 0.9})).fingerprint
