"""Where everything is in a work tree. dvc.yaml names the same paths."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """Paths below the root of a work tree (the folder of dvc.yaml)."""

    root: Path

    @property
    def params(self) -> Path:
        """The settings of every stage."""
        return self.root / "params.yaml"

    @property
    def raw(self) -> Path:
        """Snapshots of collected images, one folder a collection run; tracked by `dvc add`."""
        return self.root / "data/raw"

    @property
    def outcomes(self) -> list[Path]:
        """schemas.OUTCOMES of every snapshot in `raw`, those that were lost too: whoever reads one
        is told, and passes over none."""
        parts = ("snapshot.json", "outcomes.parquet")
        folders = {path.parent for part in parts for path in self.raw.glob(f"*/{part}")}
        return sorted(folder / "outcomes.parquet" for folder in folders)

    @property
    def collecting(self) -> Path:
        """Snapshots that are not complete yet; moved into `raw` as a whole at the end."""
        return self.root / "data/collecting"

    @property
    def benchmark(self) -> Path:
        """Benchmark images, one folder a degradation."""
        return self.root / "data/benchmark"

    @property
    def blocklist(self) -> Path:
        """Taken-down images (schemas.BLOCKLIST); the folder is there without it, for DVC."""
        return self.root / "data/takedowns/blocklist.parquet"

    @property
    def reviews(self) -> Path:
        """Exported decisions of reviewers (schemas.REVIEWS); optional, as the blocklist is."""
        return self.root / "data/reviews/reviews.parquet"

    @property
    def teachers(self) -> Path:
        """Teachers fetched from the registry, and scores.json; the folder is there without them."""
        return self.root / "data/teachers"

    @property
    def hashes(self) -> Path:
        """schemas.HASHES"""
        return self.root / "data/hashes.parquet"

    @property
    def fingerprints(self) -> Path:
        """schemas.FINGERPRINTS"""
        return self.root / "data/fingerprints.parquet"

    @property
    def embeddings(self) -> Path:
        """schemas.embeddings(...)"""
        return self.root / "data/embeddings.parquet"

    @property
    def duplicates(self) -> Path:
        """schemas.DUPLICATES"""
        return self.root / "data/duplicates.parquet"

    @property
    def contamination(self) -> Path:
        """schemas.CONTAMINATION"""
        return self.root / "data/contamination.parquet"

    @property
    def screening(self) -> Path:
        """schemas.SCREENING"""
        return self.root / "data/screening.parquet"

    @property
    def targets(self) -> Path:
        """Folder: shards of clean targets, and targets.parquet (schemas.TARGETS)."""
        return self.root / "data/targets"

    @property
    def real_pairs(self) -> Path:
        """schemas.PAIRS, origin real"""
        return self.root / "data/real-pairs.parquet"

    @property
    def synthetic(self) -> Path:
        """Folder: shards of degraded images (and cropped clean ones), and pairs.parquet."""
        return self.root / "data/synthetic"

    @property
    def dataset(self) -> Path:
        """Folder: pairs.parquet (schemas.DATASET), held-out.parquet, README.md, croissant.json."""
        return self.root / "data/dataset"

    @property
    def transfer(self) -> Path:
        """The model of stage 1: model.safetensors, config.json, training.jsonl."""
        return self.root / "models/transfer"

    @property
    def finetune(self) -> Path:
        """The model of stage 2, same content."""
        return self.root / "models/finetune"

    @property
    def evaluation(self) -> Path:
        """Folder: scores.parquet (schemas.SCORES), summary.json, pictures."""
        return self.root / "results/evaluation"

    @property
    def mlflow_database(self) -> Path:
        """SQLite file of the embedded MLflow store."""
        return self.root / "mlflow/mlflow.db"

    def metrics(self, stage: str) -> Path:
        """The stage's counts, a small JSON that git keeps."""
        return self.root / f"results/metrics/{stage}.json"

    def scratch(self, stage: str) -> Path:
        """Unfinished work of a stage that a later run may continue; not tracked by anything.

        DVC removes a stage's outputs before it runs the stage, so what must survive a kill (shards
        of targets, checkpoints) lives here until the output is whole. Key what is inside by a hash
        of everything it depends on.
        """
        return self.root / ".mendline/scratch" / stage
