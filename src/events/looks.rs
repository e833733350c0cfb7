//! What the subscribers of one log-in look up about an event: once for all of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::entity::session::Model;

/// For so long after its delivery an event's looks are good: who comes to it later looks for themselves.
const GOOD_FOR: Duration = Duration::from_secs(1);

type Look = Arc<OnceCell<Model>>;

/// Travels with an event, and goes with it. All sockets and streams of a log-in hear of the same event: rights and row
/// are read by the first of them, after the event, for it could not be heard of before.
#[derive(Clone, Debug)]
pub struct Looks {
    since: Instant,
    by_log_in: Arc<Mutex<HashMap<Uuid, Look>>>,
}

impl Looks {
    /// The session, as `look` gives it to the first who asks for this log-in. A failure is nobody else's: the next one looks.
    ///
    /// # Errors
    /// Those of `look`.
    pub async fn share<E>(
        &self,
        log_in: Uuid,
        look: impl Future<Output = Result<Model, E>> + Send,
    ) -> Result<Model, E> {
        if GOOD_FOR < self.since.elapsed() {
            return look.await;
        }
        let shared =
            self.by_log_in.lock().unwrap_or_else(PoisonError::into_inner).entry(log_in).or_default().clone();
        shared.get_or_try_init(async || look.await).await.cloned()
    }
}

impl Default for Looks {
    fn default() -> Self {
        Self { since: Instant::now(), by_log_in: Arc::default() }
    }
}

/// They are no part of what an event says.
impl PartialEq for Looks {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Looks {}
