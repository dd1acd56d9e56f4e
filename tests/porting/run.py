"""Print for each library of the porting guide how many comparisons are equal, of those that can be made here.

`python tests/porting/run.py torch octave` takes some of them, by the names of their *.toml.
"""

import argparse
import traceback

import rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("library", nargs="*", help="name of a *.toml; all by default")
    parser.add_argument("--traceback", action="store_true", help="show where rows fail")
    options = parser.parse_args()
    equal = total = 0
    for library in rows.libraries():
        if options.library and library.slug not in options.library:
            continue
        cases = list(rows.cases(library))
        outcomes = [outcome(case, options.traceback) for case in cases]
        failed = [(case, text) for case, text in zip(cases, outcomes, strict=True) if text and text[:5] != "needs"]
        lacking = sorted({text for text in outcomes if text[:5] == "needs"})
        passed, ran = outcomes.count(""), sum(text[:5] != "needs" for text in outcomes)
        equal, total = equal + passed, total + ran
        print(f"{library.slug:<16} {passed:>4} of {ran:<4} {'; '.join(lacking)}", flush=True)
        for case, text in failed:
            print(f"    {case}: {text}")
    print(f"{'all':<16} {equal:>4} of {total}")


def outcome(case: rows.Case, show: bool) -> str:
    """Return nothing where both sides are equal, else what is wrong, or needed."""
    if missing := case.library.missing(case.row):
        return f"needs {missing}"
    try:
        case.check()
    except Exception as error:  # noqa: BLE001
        if show:
            traceback.print_exc()
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return ""


if __name__ == "__main__":
    main()
