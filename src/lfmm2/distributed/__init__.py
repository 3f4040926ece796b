"""Passes in other processes: a crew of workers opens the genotypes again, takes ranges of SNPs, and answers with sums.

Any executor of PEP 3148 can be the crew: it has ``submit(fn, *args)``, which returns a Future. There is no scheduler
here.
"""

from lfmm2.distributed.crew import Crew
from lfmm2.distributed.distributed_matrix import DistributedMatrix, check_reopening, cut_tasks
from lfmm2.distributed.executors import Executors, choose_executors
from lfmm2.distributed.tasks import Work

__all__ = ["Crew", "DistributedMatrix", "Executors", "Work", "check_reopening", "choose_executors", "cut_tasks"]
