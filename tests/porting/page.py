"""Write docs/porting.md from page.md and the rows, and docs/_static/porting-rows.js, which the page's finder reads.

`python tests/porting/page.py --write` does so; without --write it only says what is out of date.
"""

import json
import re
import sys
from pathlib import Path

import rows

ROOT = Path(__file__).parents[2]
CLASS_IMAGE, CLASS_KERNEL = [1, 2, 4, 8, 16], [1, 10, 100, 1000]
CLASS_OUTPUTS = {
    "A": [4210, 8421, 16842, 1684, 168],
    "B": [2100, 4210, 8421, 16842, 1684],
    "C": [124, 1248, 2496, 4960, 9600],
    "D": [12, 124, 1248, 2496, 4960],
}
CLASS_CALLS = {
    "A": 'padding="same"',
    "B": 'padding="same_lower"',
    "C": 'padding="same", flip=True',
    "D": 'padding="same_lower", flip=True',
}


def written(libraries: list[rows.Library]) -> dict[Path, str]:
    """Return what the generated files should hold, by path."""
    return {
        ROOT / "docs" / "porting.md": markdown(libraries),
        ROOT / "docs" / "_static" / "porting-rows.js": script(libraries),
    }


def markdown(libraries: list[rows.Library]) -> str:
    parts = {
        "functions": str(sum(len(library.rows) for library in libraries)),
        "count": str(len(libraries)),
        "contents": ", ".join(f"[{library.name}](#{anchor(library.name)})" for library in libraries),
        "classes": classes(libraries),
        "libraries": "\n".join(section(library) for library in libraries).rstrip(),
    }
    page = (rows.FOLDER / "page.md").read_text("utf-8")
    for name, text in parts.items():
        page = page.replace(f"<!-- {name} -->", text)
    return "<!-- Written by tests/porting/page.py from the data beside it: change these. -->\n\n" + page


def anchor(title: str) -> str:
    """Return the anchor that GitHub and MyST give to a title."""
    return "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c in "-_")


def classes(libraries: list[rows.Library]) -> str:
    lines = ["| class | fastconv | outputs | who |", "|---|---|---|---|"]
    for name, outputs in CLASS_OUTPUTS.items():
        who = []
        for library in libraries:
            functions = {base(row.function): None for row in library.rows if row.even == name}
            if functions:
                who.append(f"**{library.name}** {', '.join(functions)}")
        numbers = " ".join(map(str, outputs))
        lines.append(f"| {name} | `{CLASS_CALLS[name]}` | {numbers} | {'; '.join(who)} |")
    return "\n".join(lines)


def base(function: str) -> str:
    """Return the names of functions without what options are meant."""
    names = re.split(r" (?:along|in|of|with) ", function)[0]
    return ", ".join(f"`{name}`" for name in names.split(", "))


def section(library: rows.Library) -> str:
    header = ["| function | flips | even kernels | border | sums | normalises |", "|---|---|---|---|---|---|"]
    facts = [
        f"| {cell(row.function)} | {row.flips} | {row.even} | {row.border} | {row.sums} | {row.normalises} |"
        for row in library.rows
    ]
    checked = (
        f"Checked {library.checked}." if library.checked.startswith("by hand") else f"Checked with {library.checked}."
    )
    blocks = [f"## {library.name}", library.intro.strip(), checked, "\n".join([*header, *facts])]
    return "\n\n".join([*blocks, *(block for row in library.rows for block in example(library, row))]) + "\n"


def cell(text: str) -> str:
    return f"`{text}`" if text.replace("_", "").replace(".", "").isalnum() else text


def example(library: rows.Library, row: rows.Row) -> list[str]:
    """Return the paragraphs of a row: both sides, then what other arguments become, then notes."""
    theirs, ours = row.first(row.theirs, 0), row.first(row.ours, 1)
    if library.language == "python":
        code = [f"# {library.name}", theirs, "# fastconv", ours]
        code += ["# or", row.first(row.drop_in, 0)] if row.drop_in else []
        blocks = [fenced("python", "\n".join(code))]
    else:
        blocks = [fenced(library.language, theirs), "is", fenced("python", ours)]
    blocks += [choices(table) for table in row.choices.values() if len(table) > 1]
    return [f"**{row.function}**", *blocks, *([row.notes.strip()] if row.notes else [])]


def fenced(language: str, code: str) -> str:
    return f"```{language}\n{code}\n```"


def choices(table: dict[str, str]) -> str:
    if all(theirs == ours for theirs, ours in table.items()):
        return f"Both sides take, among others, {', '.join(f'`{theirs}`' for theirs in table)}."
    if not any(table.values()):
        return f"The same for {', '.join(f'`{theirs}`' for theirs in table)}."
    lines = [f"| `{theirs}` | `{ours}` |" for theirs, ours in table.items()]
    return "\n".join(["| theirs | fastconv |", "|---|---|", *lines])


def script(libraries: list[rows.Library]) -> str:
    """Return the rows as a script, which a page that lies in a folder may read, other than JSON."""
    found = [
        {
            "library": library.name,
            "function": row.function,
            "theirs": row.first(row.theirs, 0),
            "ours": row.first(row.ours, 1),
            "dropIn": row.first(row.drop_in, 0),
            "facts": {
                "flips": row.flips,
                "even kernels": row.even,
                "border": row.border,
                "sums": row.sums,
                "normalises": row.normalises,
            },
            "choices": [
                list(table.items()) for table in row.choices.values() if len(table) > 1 and any(table.values())
            ],
            "notes": row.notes.strip(),
        }
        for library in libraries
        for row in library.rows
    ]
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in found)
    return f"// Written by tests/porting/page.py.\nwindow.portingRows = [\n{lines}\n];\n"


def main() -> None:
    stale = 0
    for path, text in written(rows.libraries()).items():
        if path.exists() and path.read_text("utf-8") == text:
            continue
        stale += 1
        print(f"{path.relative_to(ROOT)} {'written' if '--write' in sys.argv else 'is out of date'}")
        if "--write" in sys.argv:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, "utf-8")
    sys.exit(bool(stale and "--write" not in sys.argv))


if __name__ == "__main__":
    main()
