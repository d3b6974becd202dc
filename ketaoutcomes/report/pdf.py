"""The page as a PDF, by WeasyPrint: the `[pdf]` extra."""

from __future__ import annotations

from ketaoutcomes.shown import PlainError


class NoPdf(PlainError):
    """A PDF was asked for, and what makes it is not installed."""


def pdf(page: str) -> bytes:
    """The bytes of report.pdf, from the page's own HTML and print style. The same page gives the same bytes.

    Nothing is fetched, whatever the page asks for. Raises `NoPdf` where WeasyPrint is not installed.
    """
    try:
        from weasyprint import HTML
        from weasyprint.urls import URLFetcher
    except (ImportError, OSError):  # OSError: the system lacks the libraries that lay out its text
        raise NoPdf("a PDF needs WeasyPrint: pip install 'ketaoutcomes[pdf]'") from None
    nothing = URLFetcher(allowed_protocols=(), allow_redirects=False)
    made: bytes = HTML(string=page, url_fetcher=nothing).write_pdf(pdf_identifier=b"ketaoutcomes")
    return made
