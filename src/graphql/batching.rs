//! Reads that belong together, read together: what an execution asks for is kept until all of it waits, and then read in one
//! statement for each kind. That takes no timer, which would guess how long to wait, and no other task, which might
//! run on another processor before all is asked for.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use async_graphql::runtime::Timer;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, FuturesUnordered};
use futures::task::{FutureObj, Spawn, SpawnError};
use futures::{FutureExt, StreamExt, stream};

/// The reads that the loaders of a request have begun, and nobody has gone on with. Somebody must: see [`Self::serve`].
#[derive(Clone, Default)]
pub(super) struct Batches(Arc<Mutex<Vec<FutureObj<'static, ()>>>>);

impl Spawn for Batches {
    fn spawn_obj(&self, read: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(read);
        Ok(())
    }
}

/// No time need pass: a read is gone on with when everything else waits.
impl Timer for Batches {
    fn delay(&self, _: Duration) -> BoxFuture<'static, ()> {
        std::future::ready(()).boxed()
    }
}

impl Batches {
    /// Executes, and reads whenever that waits.
    pub(super) async fn serve<F: Future>(self, execution: F) -> F::Output {
        let (mut execution, mut reads) = (pin!(execution), Reads::of(self));
        std::future::poll_fn(|cx| reads.poll_between(cx, |cx| execution.as_mut().poll(cx))).await
    }

    /// The same of an execution that gives one answer after the other.
    pub(super) fn serve_stream<T: 'static>(
        self,
        mut answers: BoxStream<'static, T>,
    ) -> BoxStream<'static, T> {
        let mut reads = Reads::of(self);
        stream::poll_fn(move |cx| reads.poll_between(cx, |cx| answers.poll_next_unpin(cx))).boxed()
    }
}

/// Reads that are under way.
struct Reads {
    begun: Batches,
    running: FuturesUnordered<FutureObj<'static, ()>>,
}

impl Reads {
    fn of(begun: Batches) -> Self {
        Self { begun, running: FuturesUnordered::new() }
    }

    /// Polls an execution again and again, as long as there is something new for it.
    fn poll_between<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut execution: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        loop {
            if let Poll::Ready(output) = execution(cx) {
                return Poll::Ready(output);
            }
            if !self.go_on(cx) {
                return Poll::Pending;
            }
        }
    }

    /// Whether anything has been read.
    fn go_on(&mut self, cx: &mut Context<'_>) -> bool {
        let begun = std::mem::take(&mut *self.begun.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.running.extend(begun);
        let mut has_read = false;
        while let Poll::Ready(Some(())) = self.running.poll_next_unpin(cx) {
            has_read = true;
        }
        has_read
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_graphql::dataloader::{DataLoader, Loader};
    use futures::future::join_all;

    use super::*;

    #[derive(Default)]
    struct Doubles(AtomicUsize);

    impl Loader<u32> for Doubles {
        type Value = u32;
        type Error = ();

        async fn load(&self, keys: &[u32]) -> Result<HashMap<u32, u32>, ()> {
            self.0.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok(keys.iter().map(|key| (*key, 2 * key)).collect())
        }
    }

    fn loader(batches: &Batches) -> DataLoader<Doubles> {
        DataLoader::new(Doubles::default(), batches.clone(), batches.clone())
    }

    #[tokio::test]
    async fn what_is_asked_before_all_wait_is_read_at_once_level_by_level() {
        let batches = Batches::default();
        let loader = loader(&batches);
        let twice = async |key| {
            let once = loader.load_one(key).await.unwrap().unwrap();
            loader.load_one(once).await.unwrap().unwrap()
        };
        let all = batches.serve(join_all((0..100).map(twice))).await;
        assert_eq!(all, (0..100).map(|key| 4 * key).collect::<Vec<_>>());
        assert_eq!(loader.loader().0.load(Ordering::Relaxed), 2, "a read for each level");
    }

    #[tokio::test]
    async fn every_answer_of_a_stream_is_served() {
        let batches = Batches::default();
        let loader = Arc::new(loader(&batches));
        let answers = stream::iter(0..3).then(move |key| {
            let loader = loader.clone();
            async move { loader.load_one(key).await.unwrap().unwrap() }
        });
        assert_eq!(batches.serve_stream(answers.boxed()).collect::<Vec<_>>().await, [0, 2, 4]);
    }
}
