"""The index page of a cohort: a table of its scans, sortable, with links to their reports."""

import html
import pathlib
import string
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

from rnst_jax.io.atomic import replacing


def write(path: pathlib.Path, title: str, rows: Sequence[Mapping[str, Any]], force: bool = False) -> None:
    """Write the page, whole or not at all.

    Args:
        path: the .html file.
        title: heading of the page.
        rows: per scan its values by column; a value may be a number, a text or None; ``report`` is the name of a file
            beside the page and becomes a link under the first value.
        force: whether an existing file may be replaced.

    Raises:
        UsageError: the place cannot be used.
    """
    found = dict.fromkeys(name for row in rows for name in row if name != "report")
    # texts stand behind the numbers, whichever row comes first
    names = [name for name in found if name != "remark"] + ["remark"] * ("remark" in found)
    head = "".join(f'<th scope="col"><button type="button">{html.escape(name)}</button></th>' for name in names)
    failed = sum(row.get("status") == "failed" for row in rows)
    template = string.Template(pathlib.Path(__file__).with_name("index.html").read_text(encoding="utf-8"))
    page = template.substitute(
        title=html.escape(title),
        summary=f"{len(rows)} scans, {failed} of them failed. A click on a heading sorts.",
        head=head,
        body="".join(_row(row, names) for row in rows),
    )
    with replacing(path, force) as stream:
        stream.write(page.encode("utf-8"))


def _row(row: Mapping[str, Any], names: Sequence[str]) -> str:
    cells = [_cell(row.get(name)) for name in names]
    if row.get("report"):
        link = html.escape(urllib.parse.quote(str(row["report"])))
        cells[0] = f'<td><a href="{link}">{html.escape(str(row[names[0]]))}</a></td>'
    return f"<tr>{''.join(cells)}</tr>"


def _cell(value: Any) -> str:
    if value is None:
        return "<td></td>"
    if isinstance(value, int | float):
        return f'<td class="number" data-value="{value!r}">{value:.4g}</td>'
    return f"<td>{html.escape(str(value))}</td>"
