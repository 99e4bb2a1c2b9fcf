"""Refuse a promotion whose verdict does not speak of these bytes, this champion and a policy as strict as the last."""

from __future__ import annotations

import hashlib

from fastslow.core.errors import BadInput, quoted
from fastslow.gate.audit import contradiction, policy_of
from fastslow.gate.floor import Floor
from fastslow.gate.verdict import Verdict

BASE = "base"


def refusal(
    verdict: Verdict, *, digest: str, champion: str | None, floor: Floor | None, policy: bytes | None
) -> str | None:
    """Return why the verdict does not allow the promotion; None where it does.

    Args:
        verdict: of the gate.
        digest: of the version's bytes, as they are now.
        champion: the digest of the present champion's bytes; None without one. Then the verdict's baseline has to be
            the weights that the candidate was trained from.
        floor: what the champion's policy asked for; None where there was none.
        policy: the bytes of the policy that the verdict should have gone by; None: whichever it names.
    """
    if verdict.state != "pass":
        return f"the verdict is '{verdict.state}', not 'pass'"
    try:
        ruled = policy_of(verdict, floor)
    except BadInput as error:
        return quoted(error).removesuffix(".")
    wrong = contradiction(verdict, ruled)
    if wrong is not None:
        return f"the verdict contradicts itself: {wrong}"
    if verdict.candidate.digest != digest:
        return f"the verdict is about other bytes ({verdict.candidate.digest[:12]}) than this version ({digest[:12]})"
    against = verdict.baseline
    if champion is None and against.weights != BASE:
        return (
            "there is no champion yet: the first one is gated against the weights it was trained from (--baseline base)"
        )
    if champion is not None and (against.weights == BASE or against.digest != champion):
        return f"the verdict compares with '{against.name}' ({against.digest[:12]}), not with the present champion"
    if policy is not None and hashlib.sha256(policy).hexdigest() != verdict.policy_digest:
        return "the policy file is not the one that the verdict went by"
    return None
