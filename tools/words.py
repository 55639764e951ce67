"""Find words of our own dialect, which the glossary of CONTRIBUTING.md replaces, in everything that people read.

Read are the docstrings, comments and messages of Python and shell code, templates and documentation. A legitimate use
stands in `tools/words-allowed.txt`, one a line: a path, a colon, and a part of the line that holds the word.
"""

import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
ALLOWED = ROOT / "tools" / "words-allowed.txt"
CODE = ("nested_kvm", "checks", "lab", "bench", "fuzz", "tools", "tests/support")
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "docs", "examples", "inventories")
NOT_READ = {"docs/controls.md", "docs/field-failures.md", "docs/symptoms.md", "tools/words.py"}
"""Made from the checks and from the recorded failures; and this file, which has to name the words."""
PLAIN = {
    r"look(?:ed|s|ing)? at": "inspect, observe, read",
    r"(?:tell|tells|told|telling)": "report, show, state, distinguish",
    r"mend(?:s|ed|ing)?": "fix, remediation",
    r"nobody|whoever|somebody": "no one, anyone who, a person; or name who it is",
    r"anew": "again",
    r"(?<!instead )of (?:its|their|his) own": "its own, their own",
    r"(?<!there )(?-i:is none)": "there is none; is not a …",
    r"(?:it|there) is no(?:ne)?\b(?= (?:date|number|name|host|valid))": "is not a valid …",
    r"(?:what|which) (?:became|becomes|came|comes) of": "outcome, result, status",
    r"answers? for (?:it|every|each|this|that)": "accepts it (a waiver)",
    r"let(?:s|ting)? go of": "close, release",
    r"judg(?:e|es|ed|ing) again|not judged": "re-evaluate; not evaluated",
    r"leads? (?:in)?to (?:the|a|its) (?:host|guest|target)": "is reachable",
    r"by hand": "manually",
    r"the suite(?:'s)?\b(?! of)": "the audit, nested-kvm-compliance",
    r"for want of": "without, because … is missing",
}
PATTERNS = [(re.compile(rf"\b(?:{words})\b", re.IGNORECASE), instead) for words, instead in PLAIN.items()]


def prose_of(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file that people read, with their numbers: of Python, its strings and comments."""
    if path.suffix != ".py":
        yield from enumerate(path.read_text(errors="replace").splitlines(), 1)
        return
    kinds = {tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type in kinds:
            is_f_string = token.type == tokenize.STRING and "f" in token.string[:2].lower()
            text = re.sub(r"\{[^{}\n]*\}", "{}", token.string) if is_f_string else token.string
            yield from enumerate(text.splitlines(), token.start[0])


def files() -> Iterator[Path]:
    """Every file that holds prose."""
    suffixes = {".py", ".sh", ".md", ".yaml", ".jinja2", ".mk"}
    for place in (*CODE, *PAGES, "Makefile"):
        path = ROOT / place
        found = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.suffix in suffixes)
        named = {str(each.relative_to(ROOT)): each for each in found}
        yield from (each for name, each in named.items() if name not in NOT_READ)


def allowed() -> list[tuple[str, str]]:
    """The uses that are legitimate: path and part of the line."""
    lines = [line for line in ALLOWED.read_text().splitlines() if line.strip() and not line.startswith("#")]
    return [(path.strip(), part.strip()) for path, _, part in (line.partition(":") for line in lines)]


def findings() -> Iterator[str]:
    """Each use of such a word, as `path:line: word: what to say instead`."""
    legitimate = allowed()
    for path in files():
        name = str(path.relative_to(ROOT))
        parts = [part for where, part in legitimate if where == name]
        for number, line in prose_of(path):
            if any(part in line for part in parts):
                continue
            for pattern, instead in PATTERNS:
                for match in pattern.finditer(line):
                    yield f"{name}:{number}: {match[0]!r}: {instead}"


def main() -> int:
    """Print what is found; the exit status says whether anything was."""
    found = sorted(set(findings()))
    for line in found:
        print(line)
    print(
        f"{len(found)} use{'s' * (len(found) != 1)} of words that the glossary of CONTRIBUTING.md replaces",
        file=sys.stderr,
    )
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
