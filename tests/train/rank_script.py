"""Real ranks with real workers: forks them, lets them go through an epoch together, and tells what each was given.

`python rank_script.py JOBS OUT`: JOBS is a JSON list of jobs, OUT is where the answers go, in the same order. A job that
`resumes` goes on from the state of the first rank of the job before it.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import start_processes
from torch.utils.data import DataLoader, Dataset

from ktoformats import ElasticBatchSampler, KTODataConfig, KTODataLoader

warnings.filterwarnings("ignore", message="This DataLoader will create")


class Numbers(Dataset[int]):
    """So many of them; each is its position."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, position: int) -> int:
        return position


def work(rank: int, job: dict[str, Any], folder: str) -> None:
    """One rank of one job."""
    ranks = job["ranks"]
    limit = timedelta(seconds=60)
    dist.init_process_group("gloo", f"file://{folder}/met", timeout=limit, rank=rank, world_size=ranks)
    try:
        told = {"sampler": sampled, "stream": streamed}[job["kind"]](job)
        everybody: list[Any] = [None] * ranks
        dist.all_gather_object(everybody, told)
        if rank == 0:
            Path(folder, "told.json").write_text(json.dumps(everybody))
    finally:
        dist.destroy_process_group()


def sampled(job: dict[str, Any]) -> dict[str, Any]:
    """The batches of this rank; ranks meet after each, as the gradients of a trainer do."""
    data = Numbers(job["n"])
    sampler = ElasticBatchSampler(data, global_batch_size=job["size"], remainder=job["remainder"])
    if job.get("state"):
        sampler.load_state_dict(job["state"])
    loader: DataLoader[int] = DataLoader(data, batch_sampler=sampler, num_workers=job["workers"], collate_fn=list)
    batches, done = [], 0
    for done, batch in enumerate(loader, start=1):
        batches.append(batch)
        if job["remainder"] != "uneven":
            met = torch.ones(1)
            dist.all_reduce(met)
        if done == job.get("steps"):
            break
    return {"batches": batches, "state": sampler.state_dict(batches=done), "len": len(sampler)}


def streamed(job: dict[str, Any]) -> dict[str, Any]:
    """The prompts of this rank, by batches."""
    config = KTODataConfig(train_file=job["files"], balance_labels=False, buffer_size=job["window"])
    stream = KTODataLoader(config, enable_cache=False).stream(shuffle=job["shuffle"])
    loader = DataLoader(stream, batch_size=16, num_workers=job["workers"])
    return {"batches": [batch["prompt"] for batch in loader]}


def main(jobs: list[dict[str, Any]]) -> list[Any]:
    """Every job's answer."""
    answers: list[Any] = []
    for job in jobs:
        if job.get("resumes"):
            job["state"] = answers[-1][0]["state"]
        with TemporaryDirectory() as folder:
            start_processes(work, (job, folder), nprocs=job["ranks"], start_method="fork")  # type: ignore[no-untyped-call]
            answers.append(json.loads(Path(folder, "told.json").read_text()))
    return answers


if __name__ == "__main__":
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(1)
    Path(sys.argv[2]).write_text(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
