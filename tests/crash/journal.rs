//! What happened in a run, and what should not have.

use std::sync::Mutex;

use super::now;

/// A disturbance, in seconds since 1970.
#[derive(Clone, Debug)]
pub(crate) struct Strike {
    pub(crate) from: f64,
    pub(crate) to: f64,
    /// Whether workers may have lost what they were about.
    pub(crate) hits_work: bool,
    /// Whether the database or the way to it was struck.
    pub(crate) shook_database: bool,
}

/// Written to by everybody who takes part in a run.
pub(crate) struct Journal {
    started: f64,
    notes: Mutex<Vec<String>>,
    strikes: Mutex<Vec<Strike>>,
    violations: Mutex<Vec<String>>,
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self {
            started: now(),
            notes: Mutex::default(),
            strikes: Mutex::default(),
            violations: Mutex::default(),
        }
    }

    /// Something happened.
    pub(crate) fn note(&self, what: impl AsRef<str>) {
        let at = (now() - self.started) * 1000.0;
        self.notes.lock().unwrap().push(format!("{at:7.0} ms  {}", what.as_ref()));
    }

    /// A process was struck down just now.
    pub(crate) fn struck(&self, what: impl AsRef<str>, hits_work: bool) {
        self.note(what);
        self.strikes.lock().unwrap().push(Strike {
            from: now(),
            to: now(),
            hits_work,
            shook_database: false,
        });
    }

    /// A process stood still until now.
    pub(crate) fn paused(&self, what: impl AsRef<str>, from: f64, hits_work: bool) {
        self.note(what);
        self.strikes.lock().unwrap().push(Strike { from, to: now(), hits_work, shook_database: false });
    }

    /// A process stands still from now on; it may do so when everything else has ended.
    pub(crate) fn pausing(&self, hits_work: bool) -> usize {
        self.strikes_from_now(hits_work, false)
    }

    /// The database goes away just now.
    pub(crate) fn shaking(&self) -> usize {
        self.strikes_from_now(true, true)
    }

    fn strikes_from_now(&self, hits_work: bool, shook_database: bool) -> usize {
        let strike = Strike { from: now(), to: f64::MAX, hits_work, shook_database };
        let mut strikes = self.strikes.lock().unwrap();
        strikes.push(strike);
        strikes.len() - 1
    }

    /// It is back, or goes on.
    pub(crate) fn shaken(&self, what: impl AsRef<str>, strike: usize) {
        self.note(what);
        self.strikes.lock().unwrap()[strike].to = now();
    }

    /// Something happened that must not.
    pub(crate) fn violation(&self, what: impl AsRef<str>) {
        self.note(format!("VIOLATION: {}", what.as_ref()));
        self.violations.lock().unwrap().push(what.as_ref().to_owned());
    }

    pub(crate) fn strikes(&self) -> Vec<Strike> {
        self.strikes.lock().unwrap().clone()
    }

    pub(crate) fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap().clone()
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.violations.lock().unwrap().clone()
    }
}
