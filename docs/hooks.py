"""Takes into the site what the pages show from `benchmarks/results`, where it is committed."""

import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"\]\(\.\./(benchmarks/results/[^)]+)\)")


def on_files(files, config):
    """Adds every picture and file that a page links to."""
    pages = [Path(file.abs_src_path).read_text() for file in files.documentation_pages()]
    for path in sorted({path for page in pages for path in LINK.findall(page)}):
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown, **_):
    """The same links, seen from the site's root."""
    return LINK.sub(r"](\1)", markdown)
