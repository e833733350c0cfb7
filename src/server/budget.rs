//! How many root fields one asker may have executed, in this process: a budget that fills up evenly.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use governor::clock::Clock as GovernorClock;
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use ipnet::IpNet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::reply::{Refusal, code};
use crate::auth::network;
use crate::auth::rate_limit::whole_seconds;
use crate::clock::Clock;
use crate::config::Rate;

/// Time between two sweeps; in between, everybody who asks takes some bytes.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// How often the same is reported where there is no limit whose window would tell.
const REPORT_EVERY: Duration = Duration::from_secs(60);

pub(super) const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
pub(super) const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Who spends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Spender {
    /// Somebody logged in, from wherever.
    User(Uuid),
    /// An API key, from wherever: apart from its owner, whom an integration gone wild must not lock out.
    ApiKey(Uuid),
    /// Everybody else of one address (IPv6: /64).
    Network(IpNet),
}

impl Spender {
    /// Whoever asks from there.
    #[must_use]
    pub fn at(ip: IpAddr) -> Self {
        Self::Network(network::host(ip))
    }
}

/// What is left of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    /// What the budget is.
    pub rate: Rate,
    /// Root fields that would be executed now.
    pub remaining: u32,
    /// Until it is full again.
    pub reset: Duration,
}

impl Balance {
    /// Tells it as draft-ietf-httpapi-ratelimit-headers does.
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        let (count, window) = (self.rate.count, self.rate.window.as_secs());
        let policy = format!("\"requests\";q={count};w={window}");
        let left = format!("\"requests\";r={};t={}", self.remaining, whole_seconds(self.reset).as_secs());
        for (name, value) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, left)] {
            headers.insert(name, HeaderValue::from_str(&value).expect("digits and quotes"));
        }
    }
}

/// More was asked for than there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdraft {
    /// There will be enough later.
    Wait {
        /// What there is.
        balance: Balance,
        /// Until there is enough.
        wait: Duration,
    },
    /// There will never be enough: one request asks for more than a full budget.
    Never {
        /// What the budget is.
        rate: Rate,
    },
}

impl From<Overdraft> for Refusal {
    fn from(overdraft: Overdraft) -> Self {
        match overdraft {
            Overdraft::Wait { wait, .. } => {
                let wait = whole_seconds(wait);
                let message = format!("Too many requests. Try again in {} seconds.", wait.as_secs().max(1));
                let refusal = Self::http(StatusCode::TOO_MANY_REQUESTS, message);
                Self { code: code::RATE_LIMITED, retry_after: Some(wait), ..refusal }
            }
            Overdraft::Never { rate } => {
                let message = format!("The operation has more than {} root fields. Split it.", rate.count);
                Self::document(code::LIMIT_EXCEEDED, message)
            }
        }
    }
}

/// The budgets of everybody who has asked lately.
pub struct Budgets {
    budgets: Option<(Rate, Limiter<Spender>)>,
    /// Lets one report through a window.
    reports: Limiter<(&'static str, Spender)>,
}

type Limiter<K> = RateLimiter<K, DefaultKeyedStateStore<K>, Ticks, StateInformationMiddleware>;

impl Budgets {
    /// Full budgets for everybody; `None` is no limit.
    #[must_use]
    pub fn new(rate: Option<Rate>, clock: &Arc<dyn Clock>) -> Self {
        let report = Rate { count: NonZeroU32::MIN, window: rate.map_or(REPORT_EVERY, |rate| rate.window) };
        Self { budgets: rate.map(|rate| (rate, limiter(rate, clock))), reports: limiter(report, clock) }
    }

    /// Takes root fields from a budget: all, or none.
    ///
    /// # Errors
    /// When there are not enough.
    pub fn spend(&self, spender: Spender, root_fields: NonZeroU32) -> Result<Option<Balance>, Overdraft> {
        let Some((rate, limiter)) = &self.budgets else { return Ok(None) };
        let rate = *rate;
        let checked = limiter.check_key_n(&spender, root_fields).map_err(|_| Overdraft::Never { rate })?;
        match checked {
            Ok(snapshot) => Ok(Some(balance(rate, snapshot.remaining_burst_capacity()))),
            Err(not_until) => {
                let wait = not_until.wait_time_from(limiter.clock().now());
                let missing = wait.as_nanos().div_ceil(rate.period().as_nanos());
                let missing = u32::try_from(missing).unwrap_or(u32::MAX);
                let balance = balance(rate, root_fields.get().saturating_sub(missing));
                Err(Overdraft::Wait { balance, wait })
            }
        }
    }

    /// Whether this is the first time in a window that `what` is to be reported of somebody.
    pub fn is_news(&self, what: &'static str, spender: Spender) -> bool {
        self.reports.check_key(&(what, spender)).is_ok()
    }

    /// Forgets whose budget is full again, every now and then, as long as there is somebody who asks for it.
    pub fn keep_small(self: &Arc<Self>, stop: &CancellationToken) {
        tokio::spawn(stop.clone().run_until_cancelled_owned(sweep(Arc::downgrade(self))));
    }

    fn forget(&self) {
        if let Some((_, limiter)) = &self.budgets {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
        self.reports.retain_recent();
        self.reports.shrink_to_fit();
    }
}

async fn sweep(budgets: Weak<Budgets>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let Some(budgets) = budgets.upgrade() else { return };
        budgets.forget();
    }
}

fn balance(rate: Rate, remaining: u32) -> Balance {
    Balance { rate, remaining, reset: rate.period() * rate.count.get().saturating_sub(remaining) }
}

fn limiter<K: std::hash::Hash + Eq + Clone>(rate: Rate, clock: &Arc<dyn Clock>) -> Limiter<K> {
    let quota = Quota::with_period(rate.period()).expect("a window is a second or more");
    let store = DefaultKeyedStateStore::default();
    RateLimiter::new(quota.allow_burst(rate.count), store, Ticks(clock.clone()))
}

/// Our clock, as governor reads one.
struct Ticks(Arc<dyn Clock>);

impl GovernorClock for Ticks {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;
    use crate::clock::FixedClock;

    fn budgets(rate: &str) -> (Budgets, Arc<FixedClock>) {
        let clock = Arc::new(FixedClock::new(DateTime::UNIX_EPOCH));
        let shared: Arc<dyn Clock> = clock.clone();
        (Budgets::new(rate.parse().ok(), &shared), clock)
    }

    fn spender(last: u8) -> Spender {
        Spender::at([192, 0, 2, last].into())
    }

    fn fields(number: u32) -> NonZeroU32 {
        NonZeroU32::new(number).unwrap()
    }

    #[test]
    fn a_budget_is_spent_all_or_nothing_and_fills_up_evenly() {
        let (budgets, clock) = budgets("100/1m");
        let left = budgets.spend(spender(1), fields(43)).unwrap().unwrap();
        assert_eq!((left.remaining, left.reset), (57, Duration::from_millis(25_800)));
        let Err(Overdraft::Wait { balance, wait }) = budgets.spend(spender(1), fields(58)) else { panic!() };
        assert_eq!((balance.remaining, wait), (57, Duration::from_millis(600)));
        clock.advance(TimeDelta::milliseconds(600));
        assert_eq!(budgets.spend(spender(1), fields(58)).unwrap().unwrap().remaining, 0);
        let Err(Overdraft::Wait { balance, wait }) = budgets.spend(spender(1), fields(100)) else { panic!() };
        assert_eq!((balance.remaining, wait), (0, Duration::from_secs(60)));
    }

    #[test]
    fn everybody_has_a_budget_of_their_own() {
        let (budgets, _) = budgets("1/1m");
        assert!(budgets.spend(spender(1), fields(1)).is_ok());
        assert!(budgets.spend(spender(1), fields(1)).is_err());
        assert!(budgets.spend(spender(2), fields(1)).is_ok());
        assert!(budgets.spend(Spender::User(Uuid::nil()), fields(1)).is_ok());
    }

    #[test]
    fn more_than_a_full_budget_never_passes() {
        let (budgets, _) = budgets("5/1m");
        assert!(matches!(budgets.spend(spender(1), fields(6)), Err(Overdraft::Never { .. })));
        assert_eq!(budgets.spend(spender(1), fields(5)).unwrap().unwrap().remaining, 0);
    }

    #[test]
    fn without_a_limit_everything_passes() {
        let (budgets, _) = budgets("off");
        assert_eq!(budgets.spend(spender(1), NonZeroU32::MAX), Ok(None));
    }

    #[test]
    fn the_same_is_news_once_a_window() {
        let (budgets, clock) = budgets("5/30s");
        assert!(budgets.is_news("a", spender(1)) && !budgets.is_news("a", spender(1)));
        assert!(budgets.is_news("b", spender(1)) && budgets.is_news("a", spender(2)));
        clock.advance(TimeDelta::seconds(30));
        assert!(budgets.is_news("a", spender(1)));
    }

    #[test]
    fn who_has_not_asked_for_a_while_is_forgotten() {
        let (budgets, clock) = budgets("5/30s");
        for last in 0..100 {
            budgets.spend(spender(last), fields(5)).unwrap();
            budgets.is_news("a", spender(last));
        }
        clock.advance(TimeDelta::seconds(61));
        budgets.forget();
        assert_eq!((budgets.budgets.unwrap().1.len(), budgets.reports.len()), (0, 0));
    }

    #[test]
    fn a_balance_is_told_in_the_headers_of_the_draft() {
        let rate = "100/1m".parse().unwrap();
        let mut headers = HeaderMap::new();
        Balance { rate, remaining: 57, reset: Duration::from_millis(11_001) }.tell(&mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"requests\";q=100;w=60");
        assert_eq!(headers["ratelimit"], "\"requests\";r=57;t=12");
    }
}
