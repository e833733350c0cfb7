//! Whatever comes in, over whichever transport: the documented answer, in bounded time and memory, and others go on.

mod bodies;
mod documents;
mod floods;
mod frames;
mod goodbyes;

use serde_json::Value;

use super::support::client::Client;
use super::support::socket::{Watch, statuses};
use super::support::{TestApp, recording};

/// Somebody who follows a session while others do what they do.
struct Bystander {
    jane: Client,
    watch: Watch,
}

impl Bystander {
    async fn new(app: &TestApp) -> Self {
        let jane = app.therapist("bystander").await;
        let patient = jane.patient("Daniel").await;
        let session = jane.session(&patient, recording("cbr.mp3")).await;
        let mut watch = Watch::session(&jane, &session).await;
        watch.value().await;
        Self { jane, watch }
    }

    /// They have their answers, and miss nothing of what they follow.
    async fn goes_on(self, app: &TestApp) {
        let viewer = self.jane.call("{ viewer { email } }", Value::Null).await["viewer"].clone();
        assert_eq!(viewer["email"], "bystander@example.com");
        app.run_jobs().await;
        let history = statuses(&self.watch.until_end().await);
        assert_eq!(history, ["TRANSCRIBING", "TRANSCRIBED", "EXTRACTING_NOTES", "PROCESSED"]);
    }
}

/// The code of the first error of an answer, if there is one.
fn code(answer: &Value) -> &str {
    answer["errors"][0]["extensions"]["code"].as_str().unwrap_or("none")
}
