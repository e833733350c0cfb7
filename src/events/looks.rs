//! What those who have the same rights look up about an event, and are answered: once for all of them.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

use crate::actor::Actor;

/// For so long after its delivery an event's looks are good: who comes to it later looks for themselves.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// By the kind of look, and who asks what.
type Cells = HashMap<(TypeId, Actor, Question), Arc<dyn Any + Send + Sync>>;

/// What is asked, as a digest of all that an answer depends on besides the event and who asks; nothing for what all ask.
pub type Question = [u8; 32];

/// What all ask about an event: what it is about, as they may see it.
pub const SUBJECT: Question = [0; 32];

/// Travels with an event, and goes with it. All sockets and streams of a log-in hear of the same event: rights and row
/// are read by the first of them, after the event, for it could not be heard of before.
#[derive(Clone)]
pub struct Looks {
    since: Instant,
    cells: Arc<Mutex<Cells>>,
}

impl Looks {
    /// What `look` gives to the first who asks this as this actor. A failure is nobody else's: the next one looks.
    ///
    /// # Errors
    /// Those of `look`.
    pub async fn share<T: Clone + Send + Sync + 'static, E>(
        &self,
        (actor, question): (&Actor, Question),
        look: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        if GOOD_FOR < self.since.elapsed() {
            return look.await;
        }
        match self.cell::<T>(actor, question) {
            Some(cell) => cell.get_or_try_init(async || look.await).await.cloned(),
            None => look.await,
        }
    }

    fn cell<T: Send + Sync + 'static>(&self, actor: &Actor, question: Question) -> Option<Arc<OnceCell<T>>> {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (TypeId::of::<T>(), actor.clone(), question);
        let cell = cells.entry(key).or_insert_with(|| Arc::new(OnceCell::<T>::new()));
        // Under a type's key are cells of that type.
        cell.clone().downcast().ok()
    }
}

impl Default for Looks {
    fn default() -> Self {
        Self { since: Instant::now(), cells: Arc::default() }
    }
}

/// What they hold may be clinical.
impl fmt::Debug for Looks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Looks").field("since", &self.since).finish_non_exhaustive()
    }
}

/// They are no part of what an event says.
impl PartialEq for Looks {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Looks {}
