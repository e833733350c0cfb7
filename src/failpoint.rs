//! Places where the crash test (`tests/crash`) lets this process die or stand still, so that what is between two
//! steps is tested too, and not only by luck.
//!
//! The variable `FAILPOINT` names one: `step.commit` kills this process (SIGKILL) where it first comes there,
//! `step.commit:3` at the third time, `step.commit:3:stop` stops it (SIGSTOP) until somebody sends SIGCONT.
//! It is a hook of the tests, no setting: `config` does not know it, and a release build has nothing of it.

/// Says that the code has come to a place; nothing happens, unless a test asked for it.
#[cfg(debug_assertions)]
pub fn reach(place: &str) {
    if let Some(armed) = armed()
        && armed.place == place
        && armed.left.fetch_sub(1, std::sync::atomic::Ordering::SeqCst) == 1
    {
        strike(armed.signal);
    }
}

/// Says that the code has come to a place; nothing happens in a release build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub const fn reach(_place: &str) {}

/// What the environment asks for.
#[cfg(debug_assertions)]
struct Armed {
    place: String,
    left: std::sync::atomic::AtomicI64,
    signal: rustix::process::Signal,
}

#[cfg(debug_assertions)]
fn armed() -> Option<&'static Armed> {
    static ARMED: std::sync::OnceLock<Option<Armed>> = std::sync::OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "a hook of the tests that no configuration shows")]
    ARMED.get_or_init(|| parse(&std::env::var("FAILPOINT").ok()?)).as_ref()
}

#[cfg(debug_assertions)]
fn parse(text: &str) -> Option<Armed> {
    use rustix::process::Signal;
    let mut parts = text.split(':');
    let place = parts.next().filter(|place| !place.is_empty())?.to_owned();
    let left = parts.next().map_or(Some(1), |times| times.parse().ok())?;
    let signal = match parts.next() {
        None => Signal::KILL,
        Some("stop") => Signal::STOP,
        Some(_) => return None,
    };
    Some(Armed { place, left: std::sync::atomic::AtomicI64::new(left), signal })
}

/// Sends the signal to this process. The thread that came here must not go on before it has had its effect.
#[cfg(debug_assertions)]
fn strike(signal: rustix::process::Signal) {
    tracing::warn!(?signal, "a failpoint was reached");
    let sent = rustix::process::kill_process(rustix::process::getpid(), signal);
    assert!(sent.is_ok(), "a process may signal itself");
    // Another thread may be the one that takes the signal: a few microseconds later.
    std::thread::park_timeout(std::time::Duration::from_millis(20));
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;
    use rustix::process::Signal;

    fn read(text: &str) -> Option<(String, i64, Signal)> {
        parse(text).map(|armed| (armed.place, armed.left.into_inner(), armed.signal))
    }

    #[test]
    fn a_place_a_time_and_what_happens_there_are_read() {
        assert_eq!(read("step.commit"), Some(("step.commit".into(), 1, Signal::KILL)));
        assert_eq!(read("step.commit:3"), Some(("step.commit".into(), 3, Signal::KILL)));
        assert_eq!(read("step.commit:3:stop"), Some(("step.commit".into(), 3, Signal::STOP)));
        for nonsense in ["", ":2", "step.commit:often", "step.commit:1:faint"] {
            assert_eq!(read(nonsense), None, "{nonsense}");
        }
    }
}
