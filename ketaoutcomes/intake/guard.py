"""The identifier guard: columns that look like direct identifiers refuse the file until they are dropped.

It looks at names of columns, and at the texts of columns that are kept as text. It is a net, not a proof of
de-identification, and docs/reading-files.md says so.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from itertools import pairwise

from ketaoutcomes.intake.findings import Findings, Stop, listed
from ketaoutcomes.intake.header import Header, normal

_NAMES_OF_THINGS = {
    "site", "clinic", "centre", "center", "practice", "facility", "location", "protocol", "drug",
    "medication", "medicine", "product", "study", "trial", "arm", "group", "instrument", "scale", "form",
    "test", "visit", "event", "project", "file", "column", "variable", "item", "dose", "route", "treatment",
    "programme", "program",
}  # fmt: skip
_WORDS = {
    "name": (
        "name", "names", "surname", "firstname", "lastname", "forename", "fullname", "initials", "nickname",
    ),
    "birth date": ("dob", "birthdate", "birthday", "birth"),
    "record number": ("mrn", "nhs", "ssn", "passport", "licence", "license"),
    "e-mail": ("email", "mail"),
    "phone": ("phone", "telephone", "tel", "mobile", "cellphone", "fax"),
    "address": ("address", "street", "addr", "city", "town", "county"),
    "postcode": ("zip", "zipcode", "postcode", "postal"),
    "account": ("iban", "account", "username", "login"),
    "device or web address": ("ip", "url", "website", "photo", "image", "fingerprint"),
    "free text": (
        "note", "notes", "comment", "comments", "remark", "remarks", "narrative", "freetext", "memo",
        "progress", "description", "observations",
    ),
}  # fmt: skip
_PAIRS = {
    ("e", "mail"): "e-mail",
    ("social", "security"): "record number",
    ("record", "number"): "record number",
    ("record", "no"): "record number",
    ("medical", "record"): "record number",
    ("hospital", "number"): "record number",
    ("hospital", "no"): "record number",
    ("member", "id"): "record number",
    ("policy", "number"): "record number",
    ("chart", "number"): "record number",
    ("chart", "no"): "record number",
    ("insurance", "number"): "record number",
    ("insurance", "id"): "record number",
    ("medicare", "number"): "record number",
    ("medicaid", "number"): "record number",
    ("free", "text"): "free text",
    ("contact", "number"): "phone",
    ("next", "kin"): "name",
}
_NO_BIRTH_DATE = {"year", "sex", "gender", "country"}
_SPLIT = re.compile(r"(?<=[a-z])(?=[A-Z])|[\s_\-./()#:]+")
_VALUES = {
    "an e-mail address": re.compile(r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}"),
    "a social security number": re.compile(r"[0-9]{3}-[0-9]{2}-[0-9]{4}"),
    "a phone number": re.compile(r"(\+[0-9]{1,3}[ .-]?)?(\([0-9]{3}\) ?|[0-9]{3}[ .-])[0-9]{3}[ .-][0-9]{4}"),
    "a phone number abroad": re.compile(r"\+[0-9][0-9 ().-]{8,}"),
    "a web address": re.compile(r"https?://\S+|www\.\S+", re.IGNORECASE),
    "an IP address": re.compile(r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}"),
    "a postcode": re.compile(r"[0-9]{5}-[0-9]{4}"),
}
_LONG_TEXT = 80


def identifier_in(header: str) -> str | None:
    """Which kind of direct identifier a header's name suggests; None where it suggests none.

    >>> identifier_in("Patient Name"), identifier_in("site_name"), identifier_in("DOB"), identifier_in("phq9")
    ('name', None, 'birth date', None)
    """
    words = [word.casefold() for word in _SPLIT.split(header.strip()) if word]
    for kind, listed_words in _WORDS.items():
        for word in words:
            if word not in listed_words or (kind == "name" and _names_a_thing(words)):
                continue
            if kind == "birth date" and _NO_BIRTH_DATE & set(words):
                continue
            return kind
    for first, second in pairwise(words):
        if (first, second) in _PAIRS:
            return _PAIRS[first, second]
    return None


def _names_a_thing(words: list[str]) -> bool:
    """Whether `name` is the name of a site, a drug, a form: nobody's."""
    return len(words) > 1 and words[-1] in ("name", "names") and words[-2] in _NAMES_OF_THINGS


def check_names(header: Header, drop: Collection[str], file: str, found: Findings) -> None:
    """Refuse columns whose name suggests a direct identifier, unless the plan drops them."""
    dropped = {normal(name) for name in drop}
    caught = [
        (header.show(i), kind)
        for i, raw in enumerate(header.raw)
        if normal(raw) not in dropped and (kind := identifier_in(raw)) is not None
    ]
    if not caught:
        return
    names = listed(f"{name} ({kind})" for name, kind in caught)
    line = ", ".join(f'"{name}"' for name, _ in caught)
    message = f"these columns look like direct identifiers: {names}; write under [columns]: drop = [{line}]"
    found.refuse(file, Stop("B07", message, column=caught[0][0] if len(caught) == 1 else ""))


_SUSPECT = re.compile(
    r"@|://|www\.|[0-9]{3}[ .-][0-9]|[0-9]{5}-|\([0-9]{3}\)|^\+[0-9]|[0-9]\.[0-9]", re.IGNORECASE
)


def identifier_among(texts: Iterable[str]) -> str | None:
    """Which kind of direct identifier stands among some cells; None where none is recognised.

    >>> identifier_among(["P-0012", "123-45-6789"])
    'a social security number'
    """
    for text in texts:
        if len(text) < 7 or not _SUSPECT.search(text):
            continue
        if _VALUES["an e-mail address"].search(text):
            return "an e-mail address"
        for kind, pattern in _VALUES.items():
            if pattern.fullmatch(text):
                return kind
    return None


def check_values(
    file: str, column: str, texts: Iterable[str], found: Findings, *, labels: bool = True
) -> None:
    """Refuse a column kept as text whose cells look like identifiers, or (`labels`) like sentences."""
    texts = list(texts)
    kind = identifier_among(texts)
    if kind is None and labels and any(len(text) > _LONG_TEXT for text in texts):
        kind = "free text"
    if kind is not None:
        message = (
            f'holds what looks like {kind}; write under [columns]: drop = ["{column}"], or give study codes'
        )
        found.refuse(file, Stop("I10", message, column=column))
