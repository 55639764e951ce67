"""The emulated host's heartbeat, and when its silence means that the emulation hangs.

Each CPU of the host writes its number to the second serial port every two seconds (lab/initrd-heartbeat). On a busy
machine the emulator gets little CPU time and beats come late; a CPU counts as hung only if the emulator had the time.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

BEATS = "heartbeat.log"
LIMIT = 20.0
"""Seconds without a beat, of the emulator's own time: ten beats missed."""
FIRST_BEAT_FACTOR = 3
"""Firmware, kernel and initramfs come before the first beat."""
MAX_SLOWDOWN = 10.0
NANOSECONDS = 1e9
POOL_THREAD = "worker"


@dataclass(frozen=True)
class Sample:
    """One CPU of the host at one moment, sampled from outside; times are in seconds."""

    beats: int
    at: float
    """This machine's monotonic clock."""
    ran: float
    """CPU time that the thread of this emulated CPU has used."""
    waited: float
    """Time that the emulator's lasting threads together were ready to run and this machine gave them no CPU."""


def is_hung(last_beat: Sample, now: Sample) -> bool:
    """Whether a CPU has been silent for too long.

    Two signs, either is enough: its thread used that much CPU time without a beat, as in a guest that loops; or that
    much time passed in which no thread of the emulator was kept from a CPU, as in one that waits for an event for ever.

    Args:
        last_beat: the first sample with the number of beats that `now` has.
        now: the latest sample.
    """
    limit = LIMIT * (1 if now.beats else FIRST_BEAT_FACTOR)
    ran = now.ran - last_beat.ran
    undisturbed = (now.at - last_beat.at) - (now.waited - last_beat.waited)
    return ran >= limit or undisturbed >= limit


@dataclass
class Watch:
    """Compare each sample of a CPU with the one at its last beat."""

    last_beats: dict[int, Sample] = field(default_factory=dict)

    def hung_cpus(self, samples: Mapping[int, Sample]) -> list[int]:
        """The CPUs that hang, by their numbers."""
        for cpu, sample in samples.items():
            if cpu not in self.last_beats or sample.beats != self.last_beats[cpu].beats:
                self.last_beats[cpu] = sample
        return [cpu for cpu, sample in samples.items() if is_hung(self.last_beats[cpu], sample)]


def slowdown(samples: Mapping[int, Sample]) -> float:
    """Return how many times longer than on an idle machine the emulator has taken so far."""
    ran = sum(sample.ran for sample in samples.values())
    waited = max((sample.waited for sample in samples.values()), default=0.0)
    return min(MAX_SLOWDOWN, 1 + waited / ran) if ran else 1.0


def observe(run: Path, pid: int, proc: Path = Path("/proc")) -> dict[int, Sample]:
    """Sample every emulated CPU: its beats from the log in `run`, its times from the emulator's threads.

    Nothing is returned for an emulator whose CPUs are not separate threads, and once the emulator has ended.
    """
    beats = (run / BEATS).read_text(errors="replace").split() if (run / BEATS).exists() else []
    at, waited, ran = time.monotonic(), 0.0, dict[int, float]()
    for task in (proc / str(pid) / "task").glob("*"):
        try:
            name = (task / "comm").read_text().strip()
            used, delayed = (int(word) / NANOSECONDS for word in (task / "schedstat").read_text().split()[:2])
        except (FileNotFoundError, ProcessLookupError):
            continue
        # The threads of QEMU's pool come and go, and take what they waited with them.
        waited += 0.0 if name == POOL_THREAD else delayed
        # QEMU names the threads of its CPUs "CPU 0/TCG".
        if name.startswith("CPU "):
            ran[int(name.split()[1].partition("/")[0])] = used
    return {cpu: Sample(beats.count(str(cpu)), at, used, waited) for cpu, used in ran.items()}
