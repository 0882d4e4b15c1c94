import json

from jaxmeta.runs.metrics import Metrics, read_metrics


def test_records_come_back_and_go_to_tensorboard(tmp_path):
    metrics = Metrics(tmp_path, from_step=0)
    metrics.write(10, loss=0.5, grad_norm=2.0)
    metrics.write(20, loss=0.25, grad_norm=1.0)
    metrics.close()
    assert read_metrics(tmp_path) == [
        {"step": 10, "loss": 0.5, "grad_norm": 2.0},
        {"step": 20, "loss": 0.25, "grad_norm": 1.0},
    ]
    assert any((tmp_path / "events").iterdir())


def test_a_resumed_run_drops_what_came_after_its_checkpoint(tmp_path):
    whole = [{"step": 10, "loss": 0.5}, {"step": 20, "loss": 0.25}, {"step": 30, "loss": 0.125}]
    lines = "".join(json.dumps(record) + "\n" for record in whole)
    (tmp_path / "metrics.jsonl").write_text(lines + '{"step": 40, "lo')  # Killed while writing.
    assert read_metrics(tmp_path) == whole
    metrics = Metrics(tmp_path, from_step=20)
    metrics.write(30, loss=0.125)
    metrics.close()
    assert (tmp_path / "metrics.jsonl").read_text() == lines
