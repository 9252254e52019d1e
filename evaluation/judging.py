"""Judge answers, kept by what was asked: the degraded images are judged once for all models.

Key of an answer: SHA-256 of the decoded pixels, the degradation, the digest of the judge's
identity. The store is one SQLite file, safe against a kill at any moment and shared by processes.
A failure is not kept: the next run asks again.
"""

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from catalog.degradations import Degradation
from catalog.images import Rgb, pixel_digest
from networks.interfaces import Judge, Judgement
from networks.judges.answers import Silence, ask


class CachedJudge:
    """A judge that asks the network only what it was not asked before."""

    def __init__(self, judge: Judge, path: Path, batch_size: int = 8) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.judge_network = judge
        self.identity = judge.identity
        self.batch_size = batch_size
        self.asked = 0
        """Images that went to the network."""
        self._silence = Silence(f"{judge.identity.name}/{judge.identity.version}", "evaluate.judge")
        self._database = sqlite3.connect(path, timeout=60, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL)"
        )

    def __enter__(self) -> "CachedJudge":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._database.close()

    def judge(self, images: Sequence[Rgb], degradation: Degradation) -> list[Judgement]:
        """One judgement an image, from the store where it is there.

        Raises `UserError` where the judge answers nothing any more.
        """
        keys = [f"{pixel_digest(image)} {degradation} {self.identity.digest}" for image in images]
        answers = [self._known(key) for key in keys]
        missing = [index for index, answer in enumerate(answers) if answer is None]
        for start in range(0, len(missing), self.batch_size):
            batch = missing[start : start + self.batch_size]
            given = [images[index] for index in batch]
            fresh = ask(self.judge_network, given, degradation)
            self.asked += len(batch)
            for index, judgement in zip(batch, fresh, strict=True):
                answers[index] = judgement
                if judgement.severity is not None:
                    self._keep(keys[index], judgement)
            self._silence.hear(given, fresh)
        return [answer for answer in answers if answer is not None]

    def _known(self, key: str) -> Judgement | None:
        row = self._database.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
        return Judgement(**json.loads(row[0])) if row else None

    def _keep(self, key: str, judgement: Judgement) -> None:
        fields = {**vars(judgement), "scores": dict(judgement.scores)}
        self._database.execute(
            "INSERT OR REPLACE INTO answers VALUES (?, ?)", (key, json.dumps(fields))
        )
