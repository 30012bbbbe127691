"""Workbooks as Excel writes them, and as nobody should."""

import io
import zipfile
from xml.sax.saxutils import escape

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'


def cell(place: str, text: str) -> str:
    """A cell with a text of its own."""
    return f'<c r="{place}" t="inlineStr"><is><t>{escape(text)}</t></is></c>'


def row(number: int, *texts: str, more: str = "", attributes: str = "") -> str:
    """A row of texts; ``more`` are cells after them."""
    cells = "".join(cell(f"{chr(65 + index)}{number}", text) for index, text in enumerate(texts))
    return f'<row r="{number}" {attributes}>{cells}{more}</row>'


def workbook(
    rows: str,
    *,
    head: str = HEAD,
    strings: str | None = None,
    formats: str = "",
    styles: str = "",
    sheets: str = '<sheet name="A" sheetId="1" r:id="r1"/>',
    properties: str = "",
    calculation: str = "",
    prefix: str = "xl/",
    compression: int = zipfile.ZIP_DEFLATED,
) -> bytes:
    """An .xlsx of one part of rows; ``formats`` are its ``numFmt`` elements and ``styles`` its ``xf`` elements.

    ``prefix`` is the folder of its parts; another one than the usual is named in its relationships.
    """
    parts = {
        "[Content_Types].xml": f"{HEAD}<Types/>",
        "xl/workbook.xml": f'{HEAD}<workbook xmlns="{MAIN}" xmlns:r="{RELATIONS}">{properties}'
        f"<sheets>{sheets}</sheets>{calculation}</workbook>",
        "xl/_rels/workbook.xml.rels": f'{HEAD}<Relationships><Relationship Id="r1" Type="{RELATIONS}/worksheet" '
        'Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'{head}<worksheet xmlns="{MAIN}"><sheetData>{rows}</sheetData></worksheet>',
        "xl/styles.xml": f'{HEAD}<styleSheet xmlns="{MAIN}"><numFmts>{formats}</numFmts>'
        f'<cellStyleXfs><xf numFmtId="14"/></cellStyleXfs><cellXfs>{styles}</cellXfs></styleSheet>',
    }
    if strings is not None:
        parts["xl/sharedStrings.xml"] = f'{head}<sst xmlns="{MAIN}">{strings}</sst>'
    if prefix != "xl/":
        parts = {name.replace("xl/", prefix, 1): content for name, content in parts.items()}
        parts["_rels/.rels"] = (
            f'{HEAD}<Relationships><Relationship Id="r1" Type="{RELATIONS}/officeDocument" '
            f'Target="{prefix}workbook.xml"/></Relationships>'
        )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def replaced(book: bytes, old: str, new: str) -> bytes:
    """The workbook with another text in the names of its parts, and in what they say."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(book)) as before, zipfile.ZipFile(buffer, "w") as after:
        for name in before.namelist():
            after.writestr(name.replace(old, new), before.read(name).decode().replace(old, new))
    return buffer.getvalue()
