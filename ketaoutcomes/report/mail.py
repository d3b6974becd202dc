"""The report's answer as an e-mail that can be opened and sent on: plain text, simple HTML, one picture.

Written as a file, never sent. Nothing in it asks the network for anything: no script, no link to follow, the
picture comes along.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage, MIMEPart
from email.policy import SMTP

PICTURE = "figure@ketaoutcomes"
_STYLE = "font-family:Helvetica,Arial,sans-serif;font-size:16px;line-height:1.5;color:#1a1a1a"
_CELL = "padding:4px 12px 4px 0;text-align:left;border-bottom:1px solid #cccccc"


@dataclass(frozen=True)
class Letter:
    """What the e-mail says: paragraphs, the first of them the answer; a small table; a picture; what to know.

    `lines` are questions with their answers.
    `table` holds rows of text, the first its header. `picture` is a PNG, `caption` what it shows, in words.
    `notice` stands above everything, where it must not be passed on.
    """

    subject: str
    paragraphs: Sequence[str]
    table: Sequence[Sequence[str]] = ()
    picture: bytes | None = None
    caption: str = ""
    closing: Sequence[str] = ()
    notice: str = ""
    lines: Sequence[tuple[str, str]] = ()


def eml(letter: Letter) -> bytes:
    """The bytes of email.eml: the same letter gives the same bytes.

    >>> text = eml(Letter("Outcomes, October 2026", ["Of 74 patients, 31 responded."])).decode()
    >>> "Subject: Outcomes, October 2026" in text, "Of 74 patients, 31 responded." in text
    (True, True)
    """
    message = EmailMessage(policy=SMTP)
    message["Subject"] = " ".join(letter.subject.split())
    message["X-Unsent"] = "1"  # mail programs open it as a draft, to be addressed and sent by a person
    message.set_content(_plain(letter), cte="quoted-printable")
    message.add_alternative(_html(letter), subtype="html", cte="quoted-printable")
    if letter.picture is not None:
        body = message.get_body(("html",))
        if isinstance(body, MIMEPart):
            body.add_related(
                letter.picture,
                "image",
                "png",
                cid=f"<{PICTURE}>",
                filename="figure.png",
                disposition="inline",
            )
    for number, part in enumerate(part for part in message.walk() if part.is_multipart()):
        part.set_boundary(f"=_ketaoutcomes_{number}")  # made of the clock and chance otherwise
    return message.as_bytes()


def _plain(letter: Letter) -> str:
    parts = [letter.notice, *letter.paragraphs, *(f"{question} {says}" for question, says in letter.lines)]
    if letter.table:
        widths = [max(len(row[i]) for row in letter.table) for i in range(len(letter.table[0]))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in letter.table
        ]
        parts.append("\n".join(lines))
    parts += [letter.caption, *letter.closing]
    return "\n\n".join(part for part in parts if part) + "\n"


def _html(letter: Letter) -> str:
    def paragraph(text: str, style: str = "margin:0 0 14px") -> str:
        return f'<p style="{style}">{html.escape(text)}</p>'

    body = []
    if letter.notice:
        body.append(paragraph(letter.notice, "margin:0 0 14px;padding:8px 12px;border:2px solid #1a1a1a"))
    first, *others = letter.paragraphs
    body.append(paragraph(first, "margin:0 0 14px;font-size:19px"))
    body += [paragraph(text) for text in others]
    for question, says in letter.lines:
        asked = f"<strong>{html.escape(question)}</strong> {html.escape(says)}"
        body.append(f'<p style="margin:0 0 10px">{asked}</p>')
    if letter.table:
        header, *rows = letter.table
        cells = "".join(f'<th scope="col" style="{_CELL}">{html.escape(cell)}</th>' for cell in header)
        lines = "".join(
            "<tr>" + "".join(f'<td style="{_CELL}">{html.escape(cell)}</td>' for cell in row) + "</tr>"
            for row in rows
        )
        table = f"<thead><tr>{cells}</tr></thead><tbody>{lines}</tbody>"
        body.append(f'<table style="border-collapse:collapse;margin:0 0 14px;font-size:15px">{table}</table>')
    if letter.picture is not None:
        says = html.escape(letter.caption, quote=True)
        body.append(f'<img src="cid:{PICTURE}" alt="{says}" width="600" style="max-width:100%;height:auto">')
    if letter.caption:
        body.append(paragraph(letter.caption, "margin:4px 0 14px;font-size:14px;color:#4a4a4a"))
    body += [paragraph(text, "margin:0 0 10px;font-size:14px;color:#4a4a4a") for text in letter.closing]
    inside = f'<div style="max-width:640px;margin:0 auto;padding:16px;{_STYLE}">{"".join(body)}</div>'
    title = html.escape(letter.subject)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{title}</title></head><body>{inside}</body></html>\n"
    )
