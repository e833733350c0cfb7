//! What a run does, decided by its seed alone: how many sessions, and what goes wrong when.

use std::fmt;
use std::time::Duration;

use super::rng::Rng;

/// A place for a process: what is killed here is started again here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seat {
    Api(usize),
    Worker(usize),
}

impl Seat {
    pub(crate) const ALL: [Self; 4] = [Self::Api(0), Self::Api(1), Self::Worker(0), Self::Worker(1)];

    pub(crate) fn index(self) -> usize {
        match self {
            Self::Api(index) => index,
            Self::Worker(index) => 2 + index,
        }
    }

    pub(crate) fn is_worker(self) -> bool {
        matches!(self, Self::Worker(_))
    }
}

impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api(index) => write!(f, "api {index}"),
            Self::Worker(index) => write!(f, "worker {index}"),
        }
    }
}

/// Failpoints that an API process comes to.
pub(crate) const API_PLACES: [&str; 7] = [
    "upload.received",
    "upload.intended",
    "upload.renamed",
    "upload.commit",
    "upload.committed",
    "part.put",
    "part.kept",
];
/// Failpoints that a worker comes to.
pub(crate) const WORKER_PLACES: [&str; 8] = [
    "job.claimed",
    "speech.answered",
    "notes.answered",
    "step.commit",
    "step.committed",
    "session.processed",
    "job.acknowledge",
    "aggregate.figures",
];

/// What goes wrong. Times are milliseconds from the first upload.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// SIGKILL.
    Kill { seat: Seat, at: u64, down: u64 },
    /// SIGTERM, as an operator does it.
    Terminate { seat: Seat, at: u64, down: u64 },
    /// SIGSTOP, then SIGCONT.
    Stop { seat: Seat, at: u64, lasts: u64 },
    /// SIGKILL where the code comes to a failpoint.
    KillAt { seat: Seat, place: &'static str, time: u64, down: u64 },
    /// SIGSTOP where the code comes to a failpoint, then SIGCONT.
    StopAt { seat: Seat, place: &'static str, time: u64, lasts: u64 },
    /// PostgreSQL is stopped with `-m immediate`, and started again.
    Database { at: u64, down: u64 },
    /// All connections to the database are cut; new ones are refused for a while.
    Cut { at: u64, refused: u64 },
    /// What the database answers is lost, while it hears everything; then all connections are cut.
    Mute { at: u64, lasts: u64 },
}

/// One session to be uploaded.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    /// Length, in sentences.
    pub(crate) sentences: u32,
    /// When, in milliseconds from the start.
    pub(crate) at: u64,
    /// Which API process is asked first.
    pub(crate) api: usize,
    /// Whether it comes in parts, by tus.
    pub(crate) in_parts: bool,
    /// Which of its calls to the speech model is refused for good, if any: the session fails, and is retried.
    pub(crate) refused: Option<usize>,
}

/// A run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) uploads: Vec<Upload>,
    pub(crate) faults: Vec<Fault>,
}

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let uploads = (0..rng.between(2, 4))
            .map(|_| Upload {
                sentences: u32::try_from(rng.between(14, 44)).unwrap(),
                at: rng.between(0, 1200),
                api: rng.pick(&[0, 1]),
                in_parts: rng.pick(&[false, false, true]),
                refused: rng.pick(&[None, None, None, Some(0), Some(1)]),
            })
            .collect();
        let mut faults: Vec<Fault> = Vec::new();
        for number in 0..rng.between(1, 3) {
            // The first one goes round, so that ten seeds in a row have met everything, and eighty every place.
            let (kind, place) = match number {
                0 => (seed % KINDS, seed / KINDS),
                _ => (rng.between(0, KINDS - 1), rng.between(0, 1 << 16)),
            };
            let fault = fault(kind, place, &mut rng);
            if !faults.iter().any(|other| other.collides_with(&fault)) {
                faults.push(fault);
            }
        }
        Self { seed, uploads, faults }
    }

    /// By session: which call to the speech model is refused.
    pub(crate) fn refusals(&self) -> Vec<Option<usize>> {
        self.uploads.iter().map(|upload| upload.refused).collect()
    }

    /// How long each seat stays empty when its process ends, in milliseconds.
    pub(crate) fn down(&self) -> [u64; 4] {
        Seat::ALL.map(|seat| {
            let down = |fault: &Fault| match fault {
                Fault::KillAt { seat: at, down, .. } if *at == seat => Some(*down),
                _ => None,
            };
            self.faults.iter().find_map(down).unwrap_or(0)
        })
    }

    /// What a seat's first process has in `FAILPOINT`.
    pub(crate) fn failpoint(&self, seat: Seat) -> Option<String> {
        self.faults.iter().find_map(|fault| match fault {
            Fault::KillAt { seat: at, place, time, .. } if *at == seat => Some(format!("{place}:{time}")),
            Fault::StopAt { seat: at, place, time, .. } if *at == seat => {
                Some(format!("{place}:{time}:stop"))
            }
            _ => None,
        })
    }
}

const KINDS: u64 = 10;

fn fault(kind: u64, place: u64, rng: &mut Rng) -> Fault {
    let at = rng.between(50, 2500);
    let down = rng.between(0, 600);
    let worker = Seat::Worker(rng.pick(&[0, 1]));
    let api = Seat::Api(rng.pick(&[0, 1]));
    match kind {
        0 => Fault::Kill { seat: worker, at, down },
        1 => worker_failpoint(worker, place, down, rng),
        2 => Fault::KillAt { seat: api, place: of(&API_PLACES, place), time: rng.between(1, 2), down },
        3 => Fault::Database { at, down },
        4 => Fault::Cut { at, refused: rng.between(0, 800) },
        5 => Fault::Stop { seat: worker, at, lasts: pause(rng) },
        6 => Fault::Mute { at, lasts: rng.between(5, 300) },
        7 => {
            let Fault::KillAt { seat, place, time, .. } = worker_failpoint(worker, place, 0, rng) else {
                unreachable!("it is one")
            };
            Fault::StopAt { seat, place, time, lasts: pause(rng) }
        }
        8 => Fault::Kill { seat: api, at, down },
        _ => Fault::Terminate { seat: rng.pick(&[worker, api]), at, down },
    }
}

fn of(places: &[&'static str], number: u64) -> &'static str {
    places[usize::try_from(number).unwrap() % places.len()]
}

fn worker_failpoint(seat: Seat, place: u64, down: u64, rng: &mut Rng) -> Fault {
    let place = of(&WORKER_PLACES, place);
    let often = match place {
        "step.commit" | "step.committed" => 9,
        "speech.answered" => 5,
        _ => 2,
    };
    Fault::KillAt { seat, place, time: rng.between(1, often), down }
}

/// Shorter than a lease, or longer than one: then the process is a zombie when it wakes, while another does its work or
/// when that is done.
fn pause(rng: &mut Rng) -> u64 {
    match rng.between(0, 2) {
        0 => rng.between(300, 1800),
        1 => rng.between(3100, 3900),
        _ => rng.between(4000, 5500),
    }
}

impl Fault {
    fn seat(&self) -> Option<Seat> {
        match self {
            Self::Kill { seat, .. }
            | Self::Terminate { seat, .. }
            | Self::Stop { seat, .. }
            | Self::KillAt { seat, .. }
            | Self::StopAt { seat, .. } => Some(*seat),
            Self::Database { .. } | Self::Cut { .. } | Self::Mute { .. } => None,
        }
    }

    /// One thing at a time for each process, and for the database.
    fn collides_with(&self, other: &Self) -> bool {
        self.seat() == other.seat()
    }

    /// When it strikes, unless the code decides that.
    pub(crate) fn at(&self) -> Option<Duration> {
        match self {
            Self::Kill { at, .. }
            | Self::Terminate { at, .. }
            | Self::Stop { at, .. }
            | Self::Database { at, .. }
            | Self::Cut { at, .. }
            | Self::Mute { at, .. } => Some(Duration::from_millis(*at)),
            Self::KillAt { .. } | Self::StopAt { .. } => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill { seat, at, down } => write!(f, "kill {seat} at {at} ms, down {down} ms"),
            Self::Terminate { seat, at, down } => write!(f, "terminate {seat} at {at} ms, down {down} ms"),
            Self::Stop { seat, at, lasts } => write!(f, "stop {seat} at {at} ms for {lasts} ms"),
            Self::KillAt { seat, place, time, down } => {
                write!(f, "kill {seat} at {place}:{time}, down {down} ms")
            }
            Self::StopAt { seat, place, time, lasts } => {
                write!(f, "stop {seat} at {place}:{time} for {lasts} ms")
            }
            Self::Database { at, down } => write!(f, "crash the database at {at} ms, down {down} ms"),
            Self::Cut { at, refused } => {
                write!(f, "cut the connections at {at} ms, refuse new ones for {refused} ms")
            }
            Self::Mute { at, lasts } => write!(f, "lose the database's answers at {at} ms for {lasts} ms"),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refused = self.uploads.iter().filter(|upload| upload.refused.is_some()).count();
        let in_parts = self.uploads.iter().filter(|upload| upload.in_parts).count();
        write!(f, "{} sessions, {in_parts} in parts, {refused} refused once", self.uploads.len())?;
        self.faults.iter().try_for_each(|fault| write!(f, "; {fault}"))
    }
}
