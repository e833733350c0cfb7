//! Circuit breakers: whoever fails again and again is left alone for a while.
//!
//! closed → open after [`FAILURES`] failures in a row, for [`FIRST_REST`], doubling to [`LONGEST_REST`] → half-open, where
//! one call may try → closed. A provider that asks for a longer wait gets it; one that has no quota left, or refuses the
//! key, is not asked again for [`ACCOUNT_REST`], neither for speech nor for notes: both are one account.
//!
//! Each process learns for itself: what another one has met is not known here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{AiError, Cause};
use crate::clock::Clock;
use crate::entity::cost::Work;

/// So many failures in a row are no accident.
pub const FAILURES: u32 = 5;
/// Rest after the first opening; each further one is twice as long.
pub const FIRST_REST: Duration = Duration::from_secs(30);
/// The longest rest that failures bring.
pub const LONGEST_REST: Duration = Duration::from_mins(5);
/// Rest of an account that somebody has to look after first.
pub const ACCOUNT_REST: Duration = Duration::from_mins(15);
/// No provider's wish is followed for longer.
const LONGEST_WISH: Duration = Duration::from_hours(1);
/// When to ask again while the one call of a half-open breaker is under way.
const WHILE_PROBED: Duration = Duration::from_secs(5);

/// Whether a provider is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitPhase {
    /// It is.
    Closed,
    /// One call may try.
    HalfOpen,
    /// It is not, for now.
    Open,
}

/// How a provider fares at one kind of work, for those who run the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircuitState {
    /// The provider's name.
    pub provider: String,
    /// What it is asked for.
    pub work: Work,
    /// Whether it is asked.
    pub phase: CircuitPhase,
    /// Since when.
    pub since: DateTime<Utc>,
    /// Why it is not asked; `None` where it is.
    pub reason: Option<String>,
    /// When it may be asked again; `None` where it may be now.
    pub until: Option<DateTime<Utc>>,
}

/// The breaker of one provider at one kind of work.
pub struct Breaker {
    provider: String,
    work: Work,
    own: Circuit,
    account: Arc<Account>,
    clock: Arc<dyn Clock>,
}

/// What the breakers of one provider share: its account with those who run it.
pub struct Account(Circuit);

impl Account {
    /// An account in good standing.
    pub fn new(clock: &dyn Clock) -> Arc<Self> {
        Arc::new(Self(Circuit::new(clock)))
    }
}

/// Leave to make one call. Dropped without a report, the call was given up and tells nothing.
pub(super) struct Permit<'a> {
    breaker: &'a Breaker,
    own: u64,
    account: u64,
    reported: bool,
}

impl Breaker {
    /// A closed breaker.
    pub fn new(provider: &str, work: Work, account: Arc<Account>, clock: Arc<dyn Clock>) -> Self {
        let breaker =
            Self { provider: provider.to_owned(), work, own: Circuit::new(&*clock), account, clock };
        breaker.show();
        breaker
    }

    /// How things stand.
    pub fn state(&self) -> CircuitState {
        let (own, account) = (self.own.lock().clone(), self.account.0.lock().clone());
        let circuit = if account.rank() >= own.rank() && account.rank() > 0 { account } else { own };
        let rest = circuit.rest(self.clock.elapsed());
        CircuitState {
            provider: self.provider.clone(),
            work: self.work,
            phase: circuit.phase(),
            since: circuit.since,
            reason: circuit.reason.map(|reason| reason.message),
            until: rest.map(|rest| self.clock.now() + rest),
        }
    }

    /// Whether a call may go out now.
    pub(super) fn admit(&self) -> Result<Permit<'_>, AiError> {
        let now = self.clock.elapsed();
        let admitted = self.account.0.admit(now).and_then(|account| {
            let own = self.own.admit(now).inspect_err(|_| {
                self.account.0.report(account, &Verdict::Nothing, &*self.clock);
            })?;
            Ok(Permit { breaker: self, own, account, reported: false })
        });
        self.show();
        admitted.map_err(Refusal::into_error)
    }

    fn judge(&self, permit: &Permit<'_>, (own, account): (Verdict, Verdict)) {
        let opened = self.own.report(permit.own, &own, &*self.clock)
            | self.account.0.report(permit.account, &account, &*self.clock);
        if opened {
            let state = self.state();
            tracing::warn!(
                provider = state.provider,
                work = label(state.work),
                reason = state.reason,
                until = state.until.map(|until| until.to_rfc3339()),
                "an AI provider is not asked for a while"
            );
        }
        self.show();
    }

    fn show(&self) {
        let value = match self.state().phase {
            CircuitPhase::Closed => 0.0,
            CircuitPhase::HalfOpen => 1.0,
            CircuitPhase::Open => 2.0,
        };
        let provider = self.provider.clone();
        metrics::gauge!("provider_circuit_state", "provider" => provider, "work" => label(self.work))
            .set(value);
    }
}

impl Permit<'_> {
    /// Tells what became of the call; `patience` is the longest wait that callers sit out.
    pub(super) fn report(mut self, error: Option<&AiError>, patience: Duration) {
        self.reported = true;
        self.breaker.judge(&self, verdicts(error, patience));
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if !self.reported {
            self.breaker.judge(self, (Verdict::Nothing, Verdict::Nothing));
        }
    }
}

fn label(work: Work) -> &'static str {
    match work {
        Work::Speech => "speech",
        Work::Notes => "notes",
    }
}

/// What a call says about the provider at this work, and about the account.
fn verdicts(error: Option<&AiError>, patience: Duration) -> (Verdict, Verdict) {
    let Some(error) = error else { return (Verdict::Good, Verdict::Good) };
    let reason = |cause| Reason {
        cause,
        message: error.to_string(),
        lasting: matches!(error, AiError::Permanent { .. }),
    };
    match (error.cause(), error) {
        (Some(cause @ (Cause::Quota | Cause::Key)), _) => {
            (Verdict::Nothing, Verdict::Rest(reason(cause), ACCOUNT_REST))
        }
        (Some(cause), AiError::Transient { retry_after: Some(wish), .. }) if *wish > patience => {
            (Verdict::Rest(reason(cause), (*wish).min(LONGEST_WISH)), Verdict::Nothing)
        }
        (Some(cause @ (Cause::Trouble | Cause::Setup)), _) => (Verdict::Bad(reason(cause)), Verdict::Nothing),
        // It answered, and took the key: what was wrong was the request.
        (Some(_), _) => (Verdict::Good, Verdict::Good),
        (None, _) => (Verdict::Nothing, Verdict::Nothing),
    }
}

enum Verdict {
    Good,
    Bad(Reason),
    Rest(Reason, Duration),
    Nothing,
}

/// Why a circuit is open.
#[derive(Clone, Debug)]
struct Reason {
    cause: Cause,
    message: String,
    /// Whether waiting alone mends it.
    lasting: bool,
}

/// A call that may not go out.
struct Refusal {
    reason: Reason,
    wait: Duration,
}

impl Refusal {
    fn into_error(self) -> AiError {
        let Reason { cause, message, lasting } = self.reason;
        if lasting {
            return AiError::Permanent { cause, message };
        }
        AiError::Transient { cause, message, retry_after: Some(self.wait) }
    }
}

struct Circuit(Mutex<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    phase: Phase,
    since: DateTime<Utc>,
    reason: Option<Reason>,
    /// Openings since it was last closed.
    openings: u32,
    /// Counts openings and probes: calls that began before say nothing any more.
    generation: u64,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed { failures: u32 },
    Open { until: Duration },
    HalfOpen { probed: bool },
}

impl Circuit {
    fn new(clock: &dyn Clock) -> Self {
        let phase = Phase::Closed { failures: 0 };
        Self(Mutex::new(Inner { phase, since: clock.now(), reason: None, openings: 0, generation: 0 }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(&self, now: Duration) -> Result<u64, Refusal> {
        let mut inner = self.lock();
        match inner.phase {
            Phase::Closed { .. } => Ok(inner.generation),
            Phase::Open { until } if until > now => Err(inner.refusal(until.saturating_sub(now))),
            Phase::HalfOpen { probed: true } => Err(inner.refusal(WHILE_PROBED)),
            Phase::Open { .. } | Phase::HalfOpen { probed: false } => {
                inner.phase = Phase::HalfOpen { probed: true };
                inner.generation += 1;
                Ok(inner.generation)
            }
        }
    }

    /// Takes a verdict of the present generation; says whether it opened the circuit.
    fn report(&self, generation: u64, verdict: &Verdict, clock: &dyn Clock) -> bool {
        let mut inner = self.lock();
        if generation != inner.generation {
            return false;
        }
        match (verdict, inner.phase) {
            (Verdict::Good, _) => inner.close(clock),
            (Verdict::Bad(_), Phase::Closed { failures }) if failures + 1 < FAILURES => {
                inner.phase = Phase::Closed { failures: failures + 1 };
            }
            (Verdict::Bad(reason), _) => {
                let rest = FIRST_REST.saturating_mul(2_u32.saturating_pow(inner.openings)).min(LONGEST_REST);
                inner.open(reason, rest, clock);
                return true;
            }
            (Verdict::Rest(reason, rest), _) => {
                inner.open(reason, *rest, clock);
                return true;
            }
            (Verdict::Nothing, Phase::HalfOpen { .. }) => inner.phase = Phase::HalfOpen { probed: false },
            (Verdict::Nothing, _) => {}
        }
        false
    }
}

impl Inner {
    fn close(&mut self, clock: &dyn Clock) {
        if self.rank() > 0 {
            self.since = clock.now();
        }
        (self.phase, self.reason, self.openings) = (Phase::Closed { failures: 0 }, None, 0);
    }

    fn open(&mut self, reason: &Reason, rest: Duration, clock: &dyn Clock) {
        self.phase = Phase::Open { until: clock.elapsed() + rest };
        self.since = clock.now();
        self.reason = Some(reason.clone());
        self.openings += 1;
        self.generation += 1;
    }

    fn refusal(&self, wait: Duration) -> Refusal {
        let unknown = || Reason {
            cause: Cause::Trouble,
            message: "The AI provider is not available at the moment.".to_owned(),
            lasting: false,
        };
        Refusal { reason: self.reason.clone().unwrap_or_else(unknown), wait }
    }

    fn phase(&self) -> CircuitPhase {
        match self.phase {
            Phase::Closed { .. } => CircuitPhase::Closed,
            Phase::Open { .. } => CircuitPhase::Open,
            Phase::HalfOpen { .. } => CircuitPhase::HalfOpen,
        }
    }

    /// The more, the worse.
    fn rank(&self) -> u8 {
        match self.phase {
            Phase::Closed { .. } => 0,
            Phase::HalfOpen { .. } => 1,
            Phase::Open { .. } => 2,
        }
    }

    fn rest(&self, now: Duration) -> Option<Duration> {
        match self.phase {
            Phase::Open { until } => Some(until.saturating_sub(now)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::clock::FixedClock;

    const PATIENCE: Duration = Duration::from_secs(30);

    struct Bench {
        clock: Arc<FixedClock>,
        speech: Breaker,
        notes: Breaker,
    }

    fn bench() -> Bench {
        let clock = Arc::new(FixedClock::new("2026-03-10T09:00:00Z".parse().unwrap()));
        let account = Account::new(&*clock);
        let breaker = |work| Breaker::new("openai", work, account.clone(), clock.clone());
        Bench { speech: breaker(Work::Speech), notes: breaker(Work::Notes), clock }
    }

    impl Bench {
        fn pass(&self, seconds: i64) {
            self.clock.advance(TimeDelta::seconds(seconds));
        }
    }

    fn trouble() -> AiError {
        AiError::trouble("busy", None)
    }

    fn call(breaker: &Breaker, error: Option<&AiError>) -> bool {
        breaker.admit().map(|permit| permit.report(error, PATIENCE)).is_ok()
    }

    fn fail(breaker: &Breaker, times: u32) {
        for _ in 0..times {
            assert!(call(breaker, Some(&trouble())));
        }
    }

    fn wait(breaker: &Breaker) -> Option<Duration> {
        match breaker.admit() {
            Err(AiError::Transient { retry_after, .. }) => retry_after,
            _ => None,
        }
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_a_success_between_them_does_not() {
        let bench = bench();
        fail(&bench.speech, 4);
        assert!(call(&bench.speech, None));
        fail(&bench.speech, 5);
        assert_eq!(wait(&bench.speech), Some(FIRST_REST));
        let state = bench.speech.state();
        assert_eq!((state.phase, state.reason.as_deref()), (CircuitPhase::Open, Some("busy")));
        assert_eq!(state.until, Some(state.since + FIRST_REST));
        assert!(call(&bench.notes, None), "another kind of work goes on");
    }

    #[test]
    fn after_its_rest_one_call_tries_and_decides() {
        let bench = bench();
        fail(&bench.speech, 5);
        bench.pass(30);
        let Ok(probe) = bench.speech.admit() else { panic!("one may try") };
        assert_eq!(bench.speech.state().phase, CircuitPhase::HalfOpen);
        assert!(bench.speech.admit().is_err(), "and no other");
        probe.report(None, PATIENCE);
        assert_eq!(bench.speech.state().phase, CircuitPhase::Closed);
        fail(&bench.speech, 4);
        assert!(call(&bench.speech, None), "it starts to count anew");
    }

    #[test]
    fn the_rest_doubles_up_to_five_minutes() {
        let bench = bench();
        fail(&bench.speech, 5);
        for rest in [30, 60, 120, 240, 300, 300] {
            assert_eq!(wait(&bench.speech).map(|wait| wait.as_secs()), Some(rest));
            bench.pass(i64::try_from(rest).unwrap());
            fail(&bench.speech, 1);
        }
    }

    #[test]
    fn a_probe_that_is_given_up_lets_the_next_one_try() {
        let bench = bench();
        fail(&bench.speech, 5);
        bench.pass(30);
        assert!(bench.speech.admit().is_ok(), "one may try");
        assert!(call(&bench.speech, None));
    }

    #[test]
    fn a_call_that_began_before_the_opening_does_not_close_it() {
        let bench = bench();
        let Ok(early) = bench.speech.admit() else { panic!("closed") };
        fail(&bench.speech, 5);
        early.report(None, PATIENCE);
        assert!(bench.speech.admit().is_err());
    }

    #[test]
    fn a_quota_that_is_used_up_rests_the_whole_account_with_its_reason() {
        let bench = bench();
        let quota = AiError::permanent(Cause::Quota, "no money left");
        assert!(call(&bench.notes, Some(&quota)));
        for breaker in [&bench.speech, &bench.notes] {
            let refused = breaker.admit().err().expect("nobody is asked");
            assert!(matches!(&refused, AiError::Permanent { cause: Cause::Quota, .. }), "{refused:?}");
            assert_eq!(breaker.state().reason.as_deref(), Some("no money left"));
        }
        bench.pass(899);
        assert!(bench.speech.admit().is_err());
        bench.pass(1);
        assert!(call(&bench.speech, None));
        assert!(call(&bench.notes, None));
    }

    #[test]
    fn a_long_wish_is_followed_and_a_short_one_is_the_callers_to_sit_out() {
        let bench = bench();
        let wish = |seconds| AiError::trouble("later", Some(Duration::from_secs(seconds)));
        assert!(call(&bench.speech, Some(&wish(30))));
        assert!(call(&bench.speech, Some(&wish(90))));
        assert_eq!(wait(&bench.speech), Some(Duration::from_secs(90)));
        bench.pass(90);
        assert!(call(&bench.speech, Some(&wish(1_000_000))));
        assert_eq!(wait(&bench.speech), Some(LONGEST_WISH));
    }

    #[test]
    fn what_the_recording_brings_about_does_not_count() {
        let bench = bench();
        for cause in [Cause::Content, Cause::TooLong, Cause::Request] {
            for _ in 0..FAILURES {
                assert!(call(&bench.speech, Some(&AiError::permanent(cause, "no"))));
            }
        }
        assert_eq!(bench.speech.state().phase, CircuitPhase::Closed);
    }
}
