//! What tests stand on: a server of their own on a database of their own, and real clients.

pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod object_store;
pub(crate) mod practice;
pub(crate) mod provider;
pub(crate) mod receiver;
pub(crate) mod socket;
pub(crate) mod tus;
pub(crate) mod wer;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use therapybridge::app::App;
use therapybridge::auth::NewUser;
use therapybridge::clock::FixedClock;
use therapybridge::config::Config;
use therapybridge::entity::user::Role;
use therapybridge::server::Server;
use therapybridge::worker;
use tokio::task::JoinHandle;

use self::client::Client;
use self::provider::ScriptedProvider;

/// A server, its provider, its clock.
pub(crate) struct TestApp {
    pub(crate) app: Arc<App>,
    pub(crate) clock: Arc<FixedClock>,
    pub(crate) provider: ScriptedProvider,
    pub(crate) address: SocketAddr,
    worker: Option<JoinHandle<anyhow::Result<()>>>,
    _data: tempfile::TempDir,
}

impl TestApp {
    /// A server that listens, with a scripted provider and no worker: jobs are done by [`Self::run_jobs`].
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// The same, with other settings.
    pub(crate) async fn with(vars: &[(&str, &str)]) -> Self {
        Self::configured(vars, |_| {}).await
    }

    /// The same, also with settings that are no variables.
    pub(crate) async fn configured(vars: &[(&str, &str)], change: impl FnOnce(&mut Config)) -> Self {
        let provider = ScriptedProvider::start().await;
        let data = tempfile::tempdir().unwrap();
        let mut config = Config::from_vars(variables(&provider, data.path(), vars).await).unwrap();
        config.worker.backoff = std::time::Duration::from_millis(1);
        change(&mut config);
        let clock = Arc::new(FixedClock::new(today()));
        let app = App::start(config, clock.clone()).await.unwrap();
        let server = Server::bind(app.clone(), None).await.unwrap();
        let address = server.address().unwrap();
        tokio::spawn(server.run());
        Self { app, clock, provider, address, worker: None, _data: data }
    }

    /// Starts a real worker in this process.
    pub(crate) fn with_worker(mut self) -> Self {
        self.worker = Some(tokio::spawn(worker::run(self.app.clone())));
        self
    }

    /// Does every job that is due, and those that follow; says how many attempts at recognition and notes there were.
    pub(crate) async fn run_jobs(&self) -> i64 {
        let attempts = "SELECT coalesce(sum(attempts), 0)::bigint FROM apalis.jobs
            WHERE job_type IN ('transcribe_session', 'extract_notes')";
        let before = self.count(attempts).await;
        worker::run_until_idle(&self.app).await.unwrap();
        self.count(attempts).await - before
    }

    /// Somebody who is not logged in.
    pub(crate) fn anonymous(&self) -> Client {
        Client::new(self.address)
    }

    /// A new therapist, logged in.
    pub(crate) async fn therapist(&self, name: &str) -> Client {
        self.user(name, "THERAPIST").await
    }

    /// A new user, logged in.
    pub(crate) async fn user(&self, name: &str, role: &str) -> Client {
        let tokens = self.sign_up(name, role).await;
        self.anonymous().with_token(tokens["accessToken"].as_str().unwrap())
    }

    /// The tokens of a new therapist.
    pub(crate) async fn tokens(&self, name: &str) -> Value {
        self.sign_up(name, "THERAPIST").await
    }

    async fn sign_up(&self, name: &str, role: &str) -> Value {
        let input = json!({ "email": format!("{name}@example.com"), "password": PASSWORD, "fullName": name, "role": role });
        let tokens = self.anonymous().sign_up(input).await;
        assert_eq!(tokens["userErrors"], json!([]), "sign-up");
        tokens
    }

    /// A new admin, made as the command line makes one, and logged in.
    pub(crate) async fn admin(&self, name: &str) -> Client {
        let email = format!("{name}@example.com");
        let new = NewUser {
            email: email.clone(),
            password: PASSWORD.into(),
            full_name: name.into(),
            role: Role::Admin,
            timezone: None,
            invitation_code: None,
        };
        self.app.auth.create_user(new).await.unwrap();
        let tokens = self.anonymous().log_in(&email, PASSWORD).await;
        self.anonymous().with_token(tokens["accessToken"].as_str().unwrap())
    }

    /// A new patient user, tied to a new record of `therapist`; the user, logged in, and the record's id.
    pub(crate) async fn patient_user(&self, therapist: &Client, name: &str) -> (Client, String) {
        let patient_id = therapist.patient(name).await;
        let code = therapist.invitation_code(&patient_id).await;
        let input = json!({ "email": format!("{name}@example.com"), "password": PASSWORD, "fullName": name,
            "role": "PATIENT", "invitationCode": code });
        let tokens = self.anonymous().sign_up(input).await;
        assert_eq!(tokens["userErrors"], json!([]), "sign-up");
        (self.anonymous().with_token(tokens["accessToken"].as_str().unwrap()), patient_id)
    }

    /// One value out of the database.
    pub(crate) async fn count(&self, query: &str) -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(query.to_owned())).fetch_one(self.app.pool()).await.unwrap()
    }

    /// A transaction of somebody else's.
    #[expect(clippy::disallowed_methods, reason = "a test that gives up has failed")]
    pub(crate) async fn begin(&self) -> sqlx::Transaction<'static, sqlx::Postgres> {
        self.app.pool().begin().await.unwrap()
    }

    /// Runs a statement on the database.
    pub(crate) async fn run(&self, statement: &str) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(self.app.pool()).await.unwrap();
    }

    /// Writes down a version of a session in progress, and gives nobody a hint of it.
    pub(crate) async fn record(&self, session: &str, version: i64) {
        let event = format!(
            "INSERT INTO outbox_events (session_id, patient_id, version, status, progress, created_at)
             SELECT id, patient_id, {version}, 'TRANSCRIBING', 1, now() FROM sessions WHERE id = '{session}'"
        );
        self.run(&event).await;
    }

    /// Waits until somebody waits for a lock of the database.
    pub(crate) async fn somebody_waits_for_a_lock(&self) {
        let waiting = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let wait = async {
            while self.count(waiting).await == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_mins(1), wait).await.expect("somebody waits");
    }

    /// Another server on the same database, with the same or other settings.
    pub(crate) async fn sibling(&self, vars: &[(&str, &str)]) -> Self {
        let url = self.app.config.database.url.as_ref().unwrap().expose_secret();
        let same = [("DATABASE_URL", url)];
        Self::with(&[&same[..], vars].concat()).await
    }

    /// Files in the store, and on their way into it.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for dir in [&self.app.config.storage.files_dir, &self.app.config.storage.spool_dir] {
            collect(dir, &mut files);
        }
        files
    }

    /// Nothing is left behind: no session, no file, no job.
    pub(crate) async fn assert_nothing_left(&self) {
        assert_eq!(self.count("SELECT count(*) FROM sessions").await, 0, "sessions");
        assert_eq!(self.count("SELECT count(*) FROM apalis.jobs").await, 0, "jobs");
        let events = "SELECT count(*) FROM outbox_events WHERE session_id IS NOT NULL";
        assert_eq!(self.count(events).await, 0, "events");
        assert_eq!(self.files(), Vec::<PathBuf>::new(), "files");
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.app.stop.cancel();
    }
}

pub(crate) const PASSWORD: &str = "correct horse battery";

/// The tests' day: a Tuesday.
pub(crate) fn today() -> DateTime<Utc> {
    "2026-03-10T09:00:00Z".parse().unwrap()
}

/// Settings of a server on a fresh database.
pub(crate) async fn variables(
    provider: &ScriptedProvider,
    data: &Path,
    vars: &[(&str, &str)],
) -> HashMap<String, String> {
    let base = [
        ("DATABASE_URL", cluster::fresh_database().await),
        ("DATA_DIR", data.display().to_string()),
        ("DATABASE_MAX_CONNECTIONS", "8".into()),
        ("PORT", "0".into()),
        ("JWT_SECRET", "a secret of the tests, and of nobody else".into()),
        ("AUDIT_KEY", "another secret of the tests, and of nobody else".into()),
        ("OPENAI_BASE_URL", provider.base_url().to_string()),
        ("OPENAI_API_KEY", "sk-test".into()),
        ("OPENAI_MAX_RETRIES", "0".into()),
        ("RATE_LIMIT_LOGIN", "off".into()),
        ("RATE_LIMIT_SIGNUP", "off".into()),
        ("RATE_LIMIT_EXPORTS", "off".into()),
        ("RATE_LIMIT_REQUESTS", "off".into()),
        ("RATE_LIMIT_UPLOADS", "off".into()),
        ("MODELS_DIR", models_dir().display().to_string()),
    ];
    let base = base.into_iter().map(|(name, value)| (name.to_owned(), value));
    base.chain(vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))).collect()
}

/// Settings that switch to the speech recognition and note extraction inside the process.
pub(crate) const LOCAL: [(&str, &str); 2] = [("OPENAI_BASE_URL", ""), ("OPENAI_API_KEY", "")];

/// Where `make test` puts the speech model.
pub(crate) fn models_dir() -> PathBuf {
    root().join(".cache/models")
}

/// The project's folder.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A recording of the tests, `speech.mp3`.
pub(crate) fn recording(name: &str) -> Vec<u8> {
    std::fs::read(root().join("tests/data/audio").join(name)).unwrap()
}

/// The only code of a payload's `userErrors`.
pub(crate) fn code(payload: &Value) -> &str {
    let errors = payload["userErrors"].as_array().unwrap();
    assert_eq!(errors.len(), 1, "{payload}");
    assert!(!errors[0]["message"].as_str().unwrap().is_empty());
    errors[0]["code"].as_str().unwrap()
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.path() {
            folder if folder.is_dir() => collect(&folder, files),
            // Holds a process's spool folder.
            lock if lock.file_name().is_some_and(|name| name == "lock") => {}
            file => files.push(file),
        }
    }
}
