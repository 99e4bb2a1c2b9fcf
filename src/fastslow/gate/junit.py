"""Write a verdict as JUnit XML, which CI servers show: one test case a check.

A check that fails is a `<failure>`; one that is undecided or invalid is an `<error>`, as nothing was shown.
"""

from __future__ import annotations

import hashlib
from xml.etree import ElementTree as XML

from fastslow.core.errors import quoted
from fastslow.gate.terminal import headline, notes, numbers
from fastslow.gate.verdict import Check, Verdict
from fastslow.report.pages.safe import seen

LONGEST_NAME = 160
"""Most characters of a test case's name; a task's name may have any number."""

KINDS = {"fail": "failure", "undecided": "error", "invalid": "error"}


def xml(verdict: Verdict) -> bytes:
    """Return the document in UTF-8."""
    counts = {kind: sum(KINDS.get(c.state) == kind for c in verdict.checks) for kind in ("failure", "error")}
    figures = {
        "tests": str(len(verdict.checks)),
        "failures": str(counts["failure"]),
        "errors": str(counts["error"]),
        "time": f"{verdict.seconds:.1f}",
    }
    root = XML.Element("testsuites", figures)
    suite = XML.SubElement(
        root, "testsuite", {"name": "fastslow gate", "timestamp": verdict.made.partition("+")[0], **figures}
    )
    properties = XML.SubElement(suite, "properties")
    for name, value in _properties(verdict):
        XML.SubElement(properties, "property", {"name": name, "value": seen(value)})
    for check in verdict.checks:
        case = XML.SubElement(suite, "testcase", {"classname": f"gate.{quoted(check.kind, 20)}", "name": _name(check)})
        if check.state != "pass":
            problem = XML.SubElement(case, KINDS[check.state], {"type": check.state, "message": seen(check.reason)})
            problem.text = seen("\n".join(_lines(check)))
        else:
            XML.SubElement(case, "system-out").text = seen("\n".join(_lines(check)))
    return XML.tostring(root, encoding="utf-8", xml_declaration=True)


def _name(check: Check) -> str:
    """Return the name by which a CI server knows the check again: always the same, in one line, and not too long.

    Where that takes characters away, the digest of the whole name keeps names apart. No check says how long it took,
    as several share the answers: there is no time.
    """
    whole = f"{check.kind} {check.name}"
    shown = quoted(whole, LONGEST_NAME)
    return (
        shown
        if shown == whole
        else f"{shown} #{hashlib.sha256(whole.encode('utf-8', 'backslashreplace')).hexdigest()[:8]}"
    )


def _properties(verdict: Verdict) -> list[tuple[str, str]]:
    return [
        ("state", verdict.state),
        ("headline", headline(verdict)),
        ("interval level", f"{100 * verdict.interval_level:g}%"),
        ("candidate", f"{verdict.candidate.name} {verdict.candidate.digest}"),
        ("baseline", f"{verdict.baseline.name} {verdict.baseline.digest}"),
        ("policy", verdict.policy_digest),
        ("seed", str(verdict.seed)),
        *(("note", note) for note in notes(verdict)),
    ]


def _lines(check: Check) -> list[str]:
    names = ("candidate", "baseline", "difference", "interval", "limit")
    found = [f"{name}: {value}" for name, value in zip(names, numbers(check), strict=True) if value]
    if check.n:
        found.append(f"questions: {check.n} (won {check.won}, lost {check.lost}), looks: {check.looks}")
    for lost in check.losses:
        found += ["", f"lost: {lost.question}", f"  candidate: {lost.candidate}", f"  baseline: {lost.baseline}"]
    return found
