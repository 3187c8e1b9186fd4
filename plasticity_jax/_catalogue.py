"""Which rules there are, read from their source: nothing is imported."""

import ast
import re
from pathlib import Path


NAME = r"[A-Z][\w'-]+"
SOURCE = rf"{NAME}(?:, {NAME})*(?: & {NAME}| et al\.)? \d{{4}}"  # of a paper


def rules() -> list[dict[str, str]]:
    """Rules, what they read and where they come from, as their docstrings say."""
    rows = []
    for path in sorted(Path(__file__).with_name("rules").glob("_*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if not isinstance(node, ast.ClassDef) or node.name.startswith("_"):
                continue
            words = " ".join((ast.get_docstring(node) or "").split())
            reads = re.search(r"Reads (.*?)\. Synapses", words)
            source = re.search(SOURCE, words)
            if reads:
                row = {"rule": node.name, "reads": reads[1].replace("`", "")}
                rows.append(row | {"source": source[0] if source else ""})
    return sorted(rows, key=lambda row: row["rule"].lower())
