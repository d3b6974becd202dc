"""The e-mail: text and HTML of the same letter, a picture that comes along, nothing that could do harm."""

from __future__ import annotations

import email
import re
from email.message import EmailMessage
from email.policy import SMTP

import pytest

import ketaoutcomes as ko
from ketaoutcomes.report.mail import PICTURE, Letter, eml

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
LETTER = Letter(
    subject="Outcomes, October 2026",
    paragraphs=["Of 74 patients whose series came due, 31 (42 %) responded.", "No evidence of change."],
    lines=[("Who stayed?", "30 of 40 received session 6 & no more.")],
    table=[["Protocol", "Responded"], ["iv6", "20 of 40"], ["home", "11 of 34"]],
    picture=PNG,
    caption="Response by session rises from 12 % to 42 %.",
    closing=["Missing counts as not improved."],
)


def read(data: bytes) -> EmailMessage:
    message = email.message_from_bytes(data, policy=SMTP)
    assert isinstance(message, EmailMessage)
    return message


def body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    text: str = part.get_content()
    return text


def test_text_and_html_say_the_same() -> None:
    message = read(eml(LETTER))
    plain, page = body(message, "plain"), body(message, "html")
    for words in [*LETTER.paragraphs, *LETTER.closing, LETTER.caption, "20 of 40"]:
        assert words in plain
        assert words in page
    assert "Who stayed? 30 of 40 received session 6 & no more." in plain
    assert "<strong>Who stayed?</strong> 30 of 40 received session 6 &amp; no more." in page
    table = "Protocol  Responded\niv6       20 of 40\nhome      11 of 34\n"
    assert table in plain.replace("\r\n", "\n")


def test_the_picture_comes_along() -> None:
    message = read(eml(LETTER))
    pictures = [part for part in message.walk() if part.get_content_type() == "image/png"]
    assert [part["Content-ID"] for part in pictures] == [f"<{PICTURE}>"]
    assert pictures[0].get_content() == PNG
    assert f'src="cid:{PICTURE}"' in body(message, "html")
    assert 'alt="Response by session' in body(message, "html")


def test_the_same_letter_gives_the_same_bytes_and_no_date() -> None:
    assert eml(LETTER) == eml(LETTER)
    message = read(eml(LETTER))
    assert message["Date"] is None
    assert message["Message-ID"] is None
    assert message["To"] is None


def test_nothing_in_it_asks_the_network_or_runs() -> None:
    page = body(read(eml(LETTER)), "html")
    assert re.findall(r"<(script|svg|link|iframe|form|a)\b", page) == []
    assert "http" not in page
    assert "data:" not in page


@pytest.mark.parametrize(
    "label", ["<script>alert(1)</script>", '" onmouseover="x', "{{7*7}}", "=cmd|' /C calc'!A0"]
)
def test_labels_are_text(label: str) -> None:
    letter = Letter("Outcomes", [label], [["Site"], [label]], PNG, label, [label], label)
    page = body(read(eml(letter)), "html")
    assert "<script" not in page
    assert "onmouseover=" not in re.sub(r"&quot; onmouseover=", "", page)
    assert label in body(read(eml(letter)), "plain")


def test_a_line_break_in_a_label_makes_no_header() -> None:
    message = read(eml(Letter("Outcomes\r\nBcc: someone", ["text"])))
    assert message["Bcc"] is None
    assert message["Subject"] == "Outcomes Bcc: someone"


def test_without_a_picture_there_is_none() -> None:
    page = body(read(eml(Letter("Outcomes", ["text"]))), "html")
    assert "<img" not in page


@pytest.fixture(scope="module")
def mails(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The sample's e-mail for others and for the house."""
    folder = tmp_path_factory.mktemp("mails")
    study = ko.Study(ko.load_sample())
    for audience in ("shared", "internal"):
        study.report(folder / audience, audience=audience)
    return {name: (folder / name / "email.eml").read_bytes() for name in ("shared", "internal")}


def test_the_reports_mail_says_what_the_page_says(mails: dict[str, bytes]) -> None:
    message = read(mails["internal"])
    plain = body(message, "plain")
    end = ko.Study(ko.load_sample()).rates(at="end", criteria="phq9_response50", analysis="nri").iloc[0]
    assert f"{int(end['n']):,}" in plain
    assert plain.startswith("Internal")
    assert "Do not forward" in plain


def test_the_reports_mail_is_small_and_carries_a_picture(mails: dict[str, bytes]) -> None:
    for data in mails.values():
        assert len(data) < 100_000
        assert any(part.get_content_type() == "image/png" for part in read(data).walk())


def test_the_shared_mail_tells_no_count_of_few(mails: dict[str, bytes]) -> None:
    plain = body(read(mails["shared"]), "plain")
    assert "hidden" in plain
    few = [n for n in re.findall(r"\b(\d+) (?:patients?|are known|is known|of)\b", plain) if 0 < int(n) <= 10]
    assert few == []
