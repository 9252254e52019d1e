"""The benchmark of the judges runs, at a tiny size, as it will on a GPU."""

from benchmarks.judge_throughput import TINY, measure_model, measure_server


def test_a_random_model_is_measured_in_batches() -> None:
    found = measure_model(TINY, [1, 2], count=2, rounds=1)
    assert found["images_per_s_by_batch"].keys() == {"1", "2"}
    assert all(rate > 0 for rate in found["images_per_s_by_batch"].values())


def test_a_server_is_measured_at_each_concurrency() -> None:
    found = measure_server(0.0, [1, 4], count=4, rounds=1)
    assert found["ratio_to_one_at_a_time"].keys() == {1, 4}
    assert all(rate > 0 for rate in found["images_per_s_by_concurrency"].values())
