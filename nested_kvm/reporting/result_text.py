"""Results as plain text, for pytest's own reports."""

from nested_kvm.results.run import Result
from nested_kvm.util.text import printable, visible


def log_of(result: Result) -> str:
    """Return everything about a result, a line each."""
    lines = [printable(result.title, 1000), "", f"{result.outcome.value}: {printable(result.message, 2000)}"]
    if result.cause is not None:
        lines.append(f"cause: {result.cause.code}: {result.cause.explanation}")
    lines += [f"evidence: {printable(item.source)}: {printable(item.text, 2000)}" for item in result.evidence]
    lines += [f"remediation: {visible(line)}" for line in result.remediation]
    return "\n".join(lines)
