"""The verdict of Defender for Storage, which it writes to a blob's index tags a few seconds after an upload.

https://learn.microsoft.com/azure/defender-for-cloud/understand-malware-scan-results
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from shared.ports import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

SCAN_RESULT: Final = "Malware Scanning scan result"
"""The tag. Microsoft's pages write it with other capitals, too, so they do not count."""
_VERDICTS: Final[Mapping[str, Verdict]] = {
    "no threats found": Verdict.CLEAN,
    "malicious": Verdict.MALICIOUS,
    "not scanned": Verdict.NOT_SCANNED,
}
_WORST_FIRST: Final = (Verdict.MALICIOUS, Verdict.FAILED, Verdict.NOT_SCANNED, Verdict.CLEAN)


def verdict_of(tags: Mapping[str, str]) -> Verdict | None:
    """What the tags say; None without a verdict. Words that are not known are a scan that failed.

    Should the tag stand there in two spellings, the worse verdict counts.
    """
    told = {
        _VERDICTS.get(value.strip().lower(), Verdict.FAILED)
        for name, value in tags.items()
        if name.lower() == SCAN_RESULT.lower()
    }
    return next((verdict for verdict in _WORST_FIRST if verdict in told), None)
