//! A whole practice, for tests of who may see what: two therapists with a patient each, an admin, tokens that are no
//! good, and a session with everything that has to be kept from others.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use super::client::Client;
use super::{PASSWORD, TestApp, recording};

/// Whose record it is.
pub(crate) const NAME: &str = "Maria Zauberfluss";
pub(crate) const EMAIL: &str = "maria.zauberfluss@posteingang.example";
pub(crate) const PHONE: &str = "+49 221 5550199";
/// What the patient reads once it is released.
const RELEASED: [&str; 2] = ["that takes courage", "breathing exercise was practised"];
/// What only the therapist reads: words of the transcript, of the notes, of a failure, and the file's name.
const CLINICAL: [&str; 7] = [
    "Wolkenkratzer",
    "kill myself",
    "describes little rest",
    "worries about work",
    "poor sleep",
    "zauberfluss-recording",
    "recogniser gave up",
];
const TRANSCRIPT: [&str; 6] = [
    "How have you been since the Wolkenkratzer last week?",
    "I want to kill myself when I see the Wolkenkratzer.",
    "Let us breathe slowly, and leave the Wolkenkratzer where it stands.",
    "That helped a little, the Wolkenkratzer went away.",
    "Could you write down every evening what the Wolkenkratzer does?",
    "Yes, I will bring the list of each Wolkenkratzer next time.",
];
/// `JWT_SECRET` of the tests.
pub(crate) const SECRET: &str = "a secret of the tests, and of nobody else";

/// The practice. `jane` treats Maria, `eve` treats Daniel; Maria and Daniel have accounts of their own.
pub(crate) struct Practice {
    pub(crate) app: TestApp,
    actors: BTreeMap<&'static str, Client>,
    /// What the tests name: `patient`, `session`, `segment`, `waiting`, `planned`, `export`, `webhook`, `delivery`,
    /// `therapist`, `key`, `cursor`.
    pub(crate) ids: BTreeMap<&'static str, String>,
}

/// Who acts in a practice. The last three hold tokens that were good once.
pub(crate) const ACTORS: [&str; 9] = [
    "anonymous",
    "patient",
    "other_patient",
    "therapist",
    "other_therapist",
    "admin",
    "deactivated",
    "expired",
    "revoked",
];

impl Practice {
    /// A practice with a processed session whose summary is released, one that waits for a worker, an appointment, and a
    /// document that was asked for.
    pub(crate) async fn new() -> Self {
        // Some tests ask for all that there is, at once.
        let app = TestApp::with(&[("QUERY_COST_LIMIT", "10000000")]).await;
        app.provider.set_transcript(&TRANSCRIPT);
        let (jane, eve) = (app.therapist("jane").await, app.therapist("eve").await);
        let made = jane.create_patient(json!({ "name": NAME, "email": EMAIL, "phone": PHONE })).await;
        let patient = made["patient"]["id"].as_str().unwrap().to_owned();
        let session = upload(&jane, &patient).await;
        app.run_jobs().await;
        release(&jane, &session).await;
        let ids = BTreeMap::from([
            ("waiting", upload(&jane, &patient).await),
            ("planned", schedule(&jane, &patient).await),
            ("export", export(&jane, &session).await),
            ("webhook", webhook(&jane).await),
            ("delivery", first_delivery(&app).await),
            ("therapist", user_id(&jane).await),
            ("key", jane.api_key(&["ANALYTICS_READ"]).await.0),
            ("cursor", format!("c{}", "f".repeat(32))),
            ("segment", first_segment(&app).await),
            ("patient", patient.clone()),
            ("session", session),
        ]);
        let (maria, daniel) = (account(&app, EMAIL, NAME).await, app.user("daniel", "PATIENT").await);
        let mut practice = Self { app, actors: BTreeMap::new(), ids };
        practice.bind(&patient, EMAIL).await;
        practice.bind(&eve.patient("Daniel").await, "daniel@example.com").await;
        let admin = practice.admin().await;
        let gone = practice.without_access(&jane).await;
        practice.actors = BTreeMap::from([
            ("anonymous", practice.app.anonymous()),
            ("patient", maria),
            ("other_patient", daniel),
            ("therapist", jane),
            ("other_therapist", eve),
            ("admin", admin),
        ]);
        practice.actors.extend(gone);
        practice
    }

    /// Somebody of [`ACTORS`].
    pub(crate) fn actor(&self, name: &str) -> &Client {
        self.actors.get(name).unwrap_or_else(|| panic!("nobody is called {name}"))
    }

    pub(crate) fn id(&self, name: &str) -> &str {
        self.ids.get(name).unwrap_or_else(|| panic!("nothing is called {name}"))
    }

    /// Fills every field of the session that can be empty, so that null always means "not for you".
    pub(crate) async fn fill(&self) {
        let (session, patient) = (self.id("session"), self.id("patient"));
        let update = "mutation ($id: ID!) { updatePatient(input: { patientId: $id, name: \"Maria Zauberfluss\" }) { patient { id } } }";
        self.actor("therapist").call(update, json!({ "id": patient })).await;
        self.until_the_trail_has_a_head().await;
        for statement in [
            format!(
                "UPDATE sessions SET status = 'FAILED', error_message = 'The recogniser gave up.',
                scheduled_start = created_at, audio_key = NULL, audio_removed_at = created_at WHERE id = '{session}'"
            ),
            "UPDATE transcript_segments SET speaker = 'A', role = 'PATIENT', role_confidence = 0.5, confidence = 0.5"
                .to_owned(),
            "INSERT INTO segment_corrections (segment_id, revision, session_id, text, corrected_by, created_at)
                SELECT segment.id, 1, session_id, text, therapist_id, segment.created_at
                FROM transcript_segments AS segment JOIN sessions ON sessions.id = session_id"
                .to_owned(),
            "UPDATE auth_sessions SET user_agent = 'test'".to_owned(),
            "UPDATE api_keys SET last_used_at = created_at, allowed_ips = '{127.0.0.0/8}'".to_owned(),
            "UPDATE extraction_runs SET warnings = '[\"Too short.\"]'".to_owned(),
            format!("UPDATE patients SET archived_at = created_at WHERE id = '{patient}'"),
            format!(
                "INSERT INTO patient_invitations (id, patient_id, therapist_id, code, expires_at, created_at, updated_at)
                SELECT id, id, therapist_id, repeat('0', 64), created_at + interval '7 days', created_at, created_at
                FROM patients WHERE id = '{patient}'"
            ),
            // Without the document itself: what is asked here is who may know of it.
            "UPDATE export_jobs SET status = 'COMPLETED', file_key = id::text, file_name = 'Session notes Maria Zauberfluss.pdf',
                size_bytes = 1, sha256 = repeat('0', 64), warnings = '{A letter is missing.}', progress = 100,
                error_message = NULL, expires_at = created_at + interval '7 days'"
                .to_owned(),
            "UPDATE webhooks SET description = 'Calendar', previous_secret = secret, previous_secret_expires_at = created_at,
                failing_since = created_at, disabled_at = created_at, disabled_reason = 'FAILING'"
                .to_owned(),
            "UPDATE webhook_deliveries SET last_status = 500, last_error = 'It answered 500.', last_attempt_at = created_at,
                delivered_at = created_at"
                .to_owned(),
            "INSERT INTO second_factors (user_id, secret, last_step, confirmed_at, created_at, updated_at)
                SELECT id, '', 0, created_at, created_at, created_at FROM users WHERE email = 'jane@example.com'"
                .to_owned(),
        ] {
            self.run(&statement).await;
        }
    }

    async fn until_the_trail_has_a_head(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let head = "{ verifyAuditChain { headPosition } }";
        while self.actor("admin").call(head, json!({})).await["verifyAuditChain"]["headPosition"].is_null() {
            assert!(Instant::now() < deadline, "nobody chains the audit trail");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A condensate of every table, but for those that keep count of requests themselves.
    pub(crate) async fn fingerprint(&self) -> BTreeMap<String, String> {
        let tables = "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables
            WHERE table_type = 'BASE TABLE' AND (table_schema = 'public' OR table_name = 'jobs')
                AND table_schema IN ('public', 'apalis')
                AND table_name NOT IN ('audit_events', 'audit_chain', 'rate_limits', 'auth_sessions')";
        let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(self.app.app.pool()).await.unwrap();
        let condensed = tables.iter().map(|table| {
            format!("SELECT '{table}', md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {table} t")
        });
        let query = AssertSqlSafe(condensed.collect::<Vec<_>>().join(" UNION ALL "));
        sqlx::query_as(query).fetch_all(self.app.app.pool()).await.unwrap().into_iter().collect()
    }

    /// Ties an account to a record.
    pub(crate) async fn bind(&self, patient: &str, email: &str) {
        let user = format!("(SELECT id FROM users WHERE email = '{email}')");
        self.run(&format!("UPDATE patients SET user_id = {user} WHERE id = '{patient}'")).await;
    }

    pub(crate) async fn run(&self, statement: &str) {
        sqlx::query(AssertSqlSafe(statement.to_owned())).execute(self.app.app.pool()).await.unwrap();
    }

    async fn admin(&self) -> Client {
        self.app.therapist("root").await;
        self.run("UPDATE users SET role = 'ADMIN' WHERE email = 'root@example.com'").await;
        let tokens = self.app.anonymous().log_in("root@example.com", PASSWORD).await;
        self.app.anonymous().with_token(tokens["accessToken"].as_str().unwrap())
    }

    /// Tokens that were good once, of those who could see everything: the therapist's own, and an admin's.
    async fn without_access(&self, jane: &Client) -> [(&'static str, Client); 3] {
        let anonymous = self.app.anonymous();
        let deactivated = self.app.therapist("gone").await;
        self.run("UPDATE users SET role = 'ADMIN', is_active = false WHERE email = 'gone@example.com'").await;
        let tokens = anonymous.log_in("jane@example.com", PASSWORD).await;
        let log_out = "mutation ($token: String!) { logOut(input: { refreshToken: $token }) { loggedOut } }";
        anonymous.call(log_out, json!({ "token": tokens["refreshToken"] })).await;
        let revoked = anonymous.with_token(tokens["accessToken"].as_str().unwrap());
        let expired = anonymous.with_token(&forged(jane, |claims| {
            let end = claims["iat"].as_i64().unwrap();
            (claims["iat"], claims["exp"]) = (json!(end - 1800), json!(end));
        }));
        [("deactivated", deactivated), ("expired", expired), ("revoked", revoked)]
    }
}

/// What this actor must never be told, whatever is asked.
pub(crate) fn secrets_from(actor: &str) -> Vec<&'static str> {
    match actor {
        "therapist" => vec![],
        "patient" => CLINICAL.to_vec(),
        _ => [&[NAME, EMAIL, PHONE], RELEASED.as_slice(), CLINICAL.as_slice()].concat(),
    }
}

/// The client's token with other claims, signed with the server's own key.
pub(crate) fn forged(client: &Client, change: impl FnOnce(&mut Value)) -> String {
    let (header, mut claims) = opened(client.token.as_ref().unwrap());
    change(&mut claims);
    signed(&header, SECRET, &claims)
}

pub(crate) fn signed(header: &Header, secret: &str, claims: &Value) -> String {
    jsonwebtoken::encode(header, claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

/// Header and claims of a token.
pub(crate) fn opened(token: &str) -> (Header, Value) {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.validate_exp = false;
    validation.validate_aud = false;
    let key = DecodingKey::from_secret(SECRET.as_bytes());
    let token = jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap();
    (token.header, token.claims)
}

async fn account(app: &TestApp, email: &str, name: &str) -> Client {
    let input = json!({ "email": email, "password": PASSWORD, "fullName": name, "role": "PATIENT" });
    let tokens = app.anonymous().sign_up(input).await;
    app.anonymous().with_token(tokens["accessToken"].as_str().unwrap())
}

async fn upload(jane: &Client, patient: &str) -> String {
    let input = json!({ "patientId": patient });
    let payload = jane.upload(input, "zauberfluss-recording.mp3", recording("cbr.mp3")).await;
    payload["session"]["id"].as_str().unwrap().to_owned()
}

/// An appointment of this morning; the session's id.
async fn schedule(jane: &Client, patient: &str) -> String {
    let query =
        "mutation ($input: ScheduleSessionInput!) { scheduleSession(input: $input) { session { id } } }";
    let input = json!({ "patientId": patient, "scheduledStart": "2026-03-10T07:00:00Z" });
    let payload = jane.call(query, json!({ "input": input })).await["scheduleSession"].clone();
    payload["session"]["id"].as_str().unwrap().to_owned()
}

/// Asks for the notes of a session as a document; the job's id. Nobody has made it yet.
async fn export(jane: &Client, session: &str) -> String {
    let query = "mutation ($id: ID!) {
        exportSessionNotes(input: { sessionIds: [$id], format: PDF }) { exportJob { id } } }";
    let payload = jane.call(query, json!({ "id": session })).await["exportSessionNotes"].clone();
    payload["exportJob"]["id"].as_str().unwrap_or_else(|| panic!("{payload}")).to_owned()
}

/// Makes a webhook, and sends it a test that nobody delivers; the webhook's id.
async fn webhook(jane: &Client) -> String {
    let query =
        "mutation { createWebhook(input: { url: \"https://93.184.216.34/hook\", events: [EXPORT_FAILED] }) {
        webhook { id } } }";
    let payload = jane.call(query, json!({})).await["createWebhook"].clone();
    let id = payload["webhook"]["id"].as_str().unwrap_or_else(|| panic!("{payload}")).to_owned();
    let query = "mutation ($id: ID!) { sendTestWebhook(id: $id) { webhookDelivery { id } } }";
    jane.call(query, json!({ "id": id })).await;
    id
}

async fn first_delivery(app: &TestApp) -> String {
    let first = "SELECT id::text FROM webhook_deliveries";
    sqlx::query_scalar(first).fetch_one(app.app.pool()).await.unwrap()
}

async fn release(jane: &Client, session: &str) {
    let query = "mutation ($id: ID!) { releaseSummary(sessionId: $id) { userErrors { code } } }";
    let payload = jane.call(query, json!({ "id": session })).await["releaseSummary"].clone();
    assert_eq!(payload["userErrors"], json!([]));
}

async fn first_segment(app: &TestApp) -> String {
    let first = "SELECT id::text FROM transcript_segments WHERE segment_index = 0";
    sqlx::query_scalar(first).fetch_one(app.app.pool()).await.unwrap()
}

async fn user_id(client: &Client) -> String {
    client.call("{ viewer { id } }", json!({})).await["viewer"]["id"].as_str().unwrap().to_owned()
}
