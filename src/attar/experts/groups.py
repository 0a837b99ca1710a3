"""Experts trained in this process: one group after another that nobody else trains."""

from __future__ import annotations

import time

from attar.experts.folder import claim_group
from attar.experts.store import path_of, save_expert
from attar.experts.telling import ExpertCallback
from attar.experts.unfinished import remove_leftovers, remove_unfinished
from attar.experts.work import Work, Workshop, facts_of

# between two looks at what other processes have done
_POLL_SECONDS = 0.5


def train_here(work: Work, callback: ExpertCallback) -> None:
    """Train what is missing, and what other processes leave, until every expert is there.

    Raises:
        RunFailed: the training diverged, or a file could not be written.
    """
    workshop = Workshop(work)
    waits = False
    while missing := work.missing():
        if _train_one_group(workshop, callback):
            waits = False
            continue
        if not waits:
            callback.waiting(missing)
            waits = True
        time.sleep(_POLL_SECONDS)


def _train_one_group(workshop: Workshop, callback: ExpertCallback) -> bool:
    """Train a group that nobody else trains; tell whether there was one."""
    work = workshop.work
    for group in work.groups():
        if all(path_of(work.folder, expert).exists() for expert in group):
            continue
        claimed = claim_group(work, group)
        if claimed is None:
            continue
        try:
            # another process may have ended just before
            missing = [i for i in group if not path_of(work.folder, i).exists()]
            if not missing:
                continue
            remove_leftovers(work.folder, group)
            # the whole group, so that what is missing is trained beside the same ones as ever
            for made in workshop.train(group, callback.passed):
                if made.expert in missing:
                    facts = facts_of(made)
                    save_expert(work.folder, work.header, made.expert, made.snapshots, **facts)
                    callback.made(made.expert, made.accuracy)
            remove_unfinished(work.folder, group)
            return True
        finally:
            claimed.release()
    return False
