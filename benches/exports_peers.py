"""Renders a document of ours, given as JSON, by WeasyPrint (pdf) or python-docx (docx): pages, seconds, peak in MB."""

import html
import io
import json
import resource
import sys
import time

CSS = """
@page { size: A4; margin: 78pt 68pt 70pt;
  @top-left { content: "Practice Dr. Jana Weber"; font: bold 8pt sans-serif }
  @top-right { content: "Zoë Müller"; font: 8pt sans-serif }
  @bottom-left { content: "Issued 28 November 2026 · Draft, not reviewed"; font: 8pt sans-serif }
  @bottom-right { content: "Page " counter(page) " of " counter(pages); font: 8pt sans-serif } }
body { font: 10pt/1.45 sans-serif } h1, h2, h3 { color: #1B4F72; break-after: avoid }
h1 { font-size: 21pt } h2 { font-size: 15pt; border-bottom: 0.6pt solid #CFD6DD } h3 { font-size: 11.5pt }
.muted { color: #5B6773 } .detail { font-size: 8.5pt; color: #5B6773 }
.notice { background: #FFF6E0; border-left: 3pt solid #D98E04; padding: 7pt 9pt }
td:first-child { color: #5B6773; padding-right: 16pt }
"""
TAGS = {"Plain": "span", "Bold": "b", "Italic": "i", "Muted": "span"}


def words(text):
    return "".join(run["text"] for run in text["runs"])


def inline(text):
    return "".join(f"<{TAGS[r['style']]}>{html.escape(r['text'])}</{TAGS[r['style']]}>" for r in text["runs"])


def as_html(document):
    parts = [f"<h1>{html.escape(document['title'])}</h1><p class=muted>{html.escape(document['subtitle'])}</p>"]
    for block in document["blocks"]:
        (kind, value), = block.items()
        if kind == "Heading":
            tag = "h2" if value[0] == "Section" else "h3"
            parts.append(f"<{tag}>{html.escape(value[1])}</{tag}>")
        elif kind == "Paragraph":
            parts.append(f"<p>{inline(value)}</p>")
        elif kind == "List":
            tag = "ol" if value["numbered"] else "ul"
            items = "".join(
                f"<li>{inline(i['text'])}" + "".join(f"<div class=detail>{inline(d)}</div>" for d in i["details"]) + "</li>"
                for i in value["items"]
            )
            parts.append(f"<{tag}>{items}</{tag}>")
        elif kind == "Facts":
            rows = "".join(f"<tr><td>{html.escape(label)}<td>{inline(text)}" for label, text in value)
            parts.append(f"<table>{rows}</table>")
        elif kind == "Notice":
            parts.append(f"<div class=notice><b>{html.escape(value['title'])}</b><br>{inline(value['text'])}</div>")
    return f"<html lang=en><head><title>{html.escape(document['title'])}</title></head><body>{''.join(parts)}</body></html>"


def pdf(document):
    from weasyprint import CSS as Sheet, HTML

    rendered = HTML(string=as_html(document)).render(stylesheets=[Sheet(string=CSS)])
    rendered.write_pdf(io.BytesIO())
    return len(rendered.pages)


def add_runs(paragraph, text):
    for run in text["runs"]:
        added = paragraph.add_run(run["text"])
        added.bold, added.italic = run["style"] == "Bold", run["style"] == "Italic"


def docx(document):
    from docx import Document

    out = Document()
    out.core_properties.title = document["title"]
    out.sections[0].header.paragraphs[0].text = "Practice Dr. Jana Weber\t\tZoë Müller"
    out.sections[0].footer.paragraphs[0].text = "Issued 28 November 2026 · Draft, not reviewed"
    out.add_heading(document["title"], 0)
    for block in document["blocks"]:
        (kind, value), = block.items()
        if kind == "Heading":
            out.add_heading(value[1], 1 if value[0] == "Section" else 2)
        elif kind == "Paragraph":
            add_runs(out.add_paragraph(), value)
        elif kind == "List":
            for item in value["items"]:
                add_runs(out.add_paragraph(style="List Number" if value["numbered"] else "List Bullet"), item["text"])
                for detail in item["details"]:
                    add_runs(out.add_paragraph(style="List Continue"), detail)
        elif kind == "Facts":
            table = out.add_table(rows=0, cols=2)
            for label, text in value:
                cells = table.add_row().cells
                cells[0].text = label
                add_runs(cells[1].paragraphs[0], text)
        elif kind == "Notice":
            out.add_paragraph(value["title"], style="Intense Quote")
            add_runs(out.add_paragraph(), value["text"])
    out.save(io.BytesIO())
    return 0


def main():
    kind, path, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    render = {"pdf": pdf, "docx": docx}[kind]
    __import__({"pdf": "weasyprint", "docx": "docx"}[kind])
    start = time.perf_counter()
    pages = max(render(document) for _ in range(rounds))
    seconds = (time.perf_counter() - start) / rounds
    print(pages, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


main()
