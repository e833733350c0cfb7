//! Several providers in order: who is asked, how often, and who is left alone. Time is the test's.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use therapybridge::ai::breaker::{CircuitPhase, FAILURES};
use therapybridge::ai::fallback::Fallback;
use therapybridge::ai::openai::OpenAiSettings;
use therapybridge::ai::{AiError, Cause, Transcriber};
use therapybridge::clock::{Clock, FixedClock};

use super::{ask, patience, settings, speech_list};
use crate::support::provider::{Behaviour, Endpoint, ScriptedProvider};
use crate::support::today;

/// Two providers, `first` and `second`, that are tried once a call.
struct Pair {
    first: ScriptedProvider,
    second: ScriptedProvider,
    clock: Arc<FixedClock>,
    list: Fallback<dyn Transcriber>,
}

impl Pair {
    async fn new() -> Self {
        Self::patient(0).await
    }

    async fn patient(retries: u32) -> Self {
        let (first, second) = (ScriptedProvider::start().await, ScriptedProvider::start().await);
        let clock = Arc::new(FixedClock::new(today()));
        let named = |name: &str, provider| OpenAiSettings {
            name: name.to_owned(),
            patience: patience(retries),
            ..settings(provider)
        };
        let time: Arc<dyn Clock> = clock.clone();
        let list = speech_list(&[named("first", &first), named("second", &second)], &time);
        Self { first, second, clock, list }
    }

    /// Who answered.
    async fn answered_by(&self) -> String {
        ask(&self.list).await.expect("an answer").provider.name
    }

    async fn refused(&self) -> AiError {
        ask(&self.list).await.expect_err("nobody can")
    }

    fn calls(&self) -> (usize, usize) {
        (self.first.calls(Endpoint::Speech).len(), self.second.calls(Endpoint::Speech).len())
    }

    fn phases(&self) -> Vec<CircuitPhase> {
        self.list.states().into_iter().map(|state| state.phase).collect()
    }
}

#[tokio::test]
async fn whoever_fails_is_stood_in_for_and_is_asked_first_again_the_next_time() {
    for behaviour in [
        Behaviour::status(429),
        Behaviour::status(500),
        Behaviour::status(503),
        Behaviour::Reset,
        Behaviour::Garbage,
        Behaviour::HalfJson,
        Behaviour::HugeAnswer(1 << 30),
        Behaviour::coded(400, "content_filter"),
        Behaviour::status(413),
    ] {
        let pair = Pair::new().await;
        pair.first.script(Endpoint::Speech, [behaviour.clone()]);
        assert_eq!(pair.answered_by().await, "second", "{behaviour:?}");
        assert_eq!(pair.answered_by().await, "first", "{behaviour:?}");
        assert_eq!(pair.calls(), (2, 1), "{behaviour:?}");
    }
}

#[tokio::test]
async fn tries_in_place_come_before_the_next_provider() {
    let pair = Pair::patient(2).await;
    pair.first.script(Endpoint::Speech, vec![Behaviour::status(503); 2]);
    assert_eq!(pair.answered_by().await, "first");
    pair.first.script(Endpoint::Speech, vec![Behaviour::status(503); 3]);
    assert_eq!(pair.answered_by().await, "second");
    assert_eq!(pair.calls(), (6, 1));
}

#[tokio::test]
async fn who_keeps_failing_is_left_alone_and_comes_back_after_its_rest() {
    let pair = Pair::new().await;
    pair.first.always(Endpoint::Speech, Behaviour::status(503));
    for _ in 0..8 {
        assert_eq!(pair.answered_by().await, "second");
    }
    assert_eq!(pair.calls(), (5, 8), "an open breaker costs no call");
    assert_eq!(pair.phases(), [CircuitPhase::Open, CircuitPhase::Closed]);

    pair.clock.advance(TimeDelta::seconds(30));
    assert_eq!(pair.answered_by().await, "second");
    assert_eq!(pair.answered_by().await, "second");
    assert_eq!(pair.calls().0, 6, "one call tried, and opened it again");

    pair.first.always(Endpoint::Speech, Behaviour::Ok);
    pair.clock.advance(TimeDelta::seconds(60));
    assert_eq!(pair.answered_by().await, "first");
    assert_eq!(pair.phases(), [CircuitPhase::Closed, CircuitPhase::Closed]);
}

#[tokio::test]
async fn where_nobody_is_left_it_says_when_to_come_back() {
    let pair = Pair::new().await;
    pair.first.always(Endpoint::Speech, Behaviour::retry_after(503, Duration::from_secs(600)));
    pair.second.always(Endpoint::Speech, Behaviour::retry_after(429, Duration::from_secs(120)));
    for _ in 0..3 {
        let refused = pair.refused().await;
        let soonest = Some(Duration::from_secs(120));
        assert!(
            matches!(&refused, AiError::Transient { retry_after, .. } if *retry_after == soonest),
            "{refused:?}"
        );
    }
    assert_eq!(pair.calls(), (1, 1), "what asks for a long wait gets it");
}

#[tokio::test]
async fn where_nobody_is_left_for_good_it_says_what_to_do() {
    let pair = Pair::new().await;
    pair.first.always(Endpoint::Speech, Behaviour::coded(400, "content_filter"));
    pair.second.always(Endpoint::Speech, Behaviour::status(401));
    for _ in 0..3 {
        let refused = pair.refused().await;
        assert!(matches!(&refused, AiError::Permanent { cause: Cause::Key, .. }), "{refused:?}");
    }
    assert_eq!(pair.calls(), (3, 1), "a refused key is not tried again; a filter concerns one recording");
}

#[tokio::test]
async fn calls_that_wait_for_their_turn_do_not_go_out_once_the_quota_is_used_up() {
    let provider = ScriptedProvider::start().await;
    let hold = provider.hold(Endpoint::Speech);
    provider.always(Endpoint::Speech, Behaviour::coded(429, "insufficient_quota"));
    let clock: Arc<dyn Clock> = Arc::new(FixedClock::new(today()));
    let settings = OpenAiSettings { concurrency: 1, ..settings(&provider) };
    let list = Arc::new(speech_list(&[settings], &clock));
    let calls: Vec<_> = (0..6)
        .map(|_| {
            tokio::spawn({
                let list = list.clone();
                async move { ask(&*list).await }
            })
        })
        .collect();
    hold.reached(1).await;
    drop(hold);
    for call in calls {
        let refused = call.await.unwrap().expect_err("no quota");
        assert!(refused.to_string().contains("quota"), "{refused}");
    }
    assert_eq!(provider.calls(Endpoint::Speech).len(), 1);
}

#[tokio::test]
async fn tries_stop_when_others_have_opened_the_breaker() {
    let pair = Pair::patient(FAILURES + 5).await;
    pair.first.always(Endpoint::Speech, Behaviour::status(500));
    assert_eq!(pair.answered_by().await, "second");
    assert_eq!(pair.calls().0, 5);
}

#[tokio::test]
async fn pieces_are_cut_for_whoever_takes_the_least() {
    let provider = ScriptedProvider::start().await;
    let small = OpenAiSettings { max_request_bytes: 2_000_000, concurrency: 2, ..settings(&provider) };
    let clock: Arc<dyn Clock> = Arc::new(FixedClock::new(today()));
    let limits = speech_list(&[settings(&provider), small], &clock).limits();
    assert_eq!((limits.longest.as_secs(), limits.preferred.as_secs(), limits.at_a_time), (60, 60, 4));
}
