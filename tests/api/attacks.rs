//! What somebody with bad intentions would try: tokens that are no good, things of others through every door, and
//! texts that would like to be code.

use jsonwebtoken::{Algorithm, Header};
use serde_json::{Value, json};

use super::support::client::Client;
use super::support::practice::{NAME, Practice, SECRET, opened, secrets_from, signed};
use super::support::socket::{News, Watch};
use super::support::{TestApp, code, recording};

const READ: &str = "query ($id: ID!) { session(id: $id) { status release { releasedAt } transcriptText
    transcriptSegments { totalCount nodes { text } } riskScreen { flags { text } } errorMessage audioFilename cost { usd }
    notes { patientSummary therapistNotes topicSummary keyTopics sessionMood moodScore moodTrajectory riskScreens
        riskFlags { text evidence { quote } } strategies { text evidence { quote } } actionItems { text } run { id warnings } } } }";
const WATCH: &str =
    "subscription ($id: ID!) { sessionUpdated(id: $id) { status release { releasedAt } transcriptText
    notes { patientSummary therapistNotes riskFlags { text } } } }";
const UPLOAD: &str = "mutation ($patient: ID!, $file: Upload!, $key: String) {
    uploadSession(input: { patientId: $patient, audio: $file, idempotencyKey: $key }) { session { id } userErrors { code } } }";

#[tokio::test]
async fn a_token_that_is_no_good_opens_no_door() {
    let practice = Practice::new().await;
    let before = practice.fingerprint().await;
    for (what, token) in bad_tokens(&practice) {
        let client = practice.app.anonymous().with_token(&token);
        let id = json!({ "id": practice.id("session") });
        let answer = client.answer(READ, id.clone()).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "UNAUTHENTICATED", "HTTP: {what}");
        assert!(answer["data"].is_null(), "HTTP: {what}");
        let heard = Watch::start(&client, WATCH, id.clone()).await.next().await;
        assert_eq!(heard, News::Closed(Some(4403)), "WebSocket: {what}");
        let (status, text) = event_stream(&client, WATCH, id).await;
        assert!(
            status == 401 && text.contains("UNAUTHENTICATED") && !text.contains("\"data\":{"),
            "SSE: {what}: {text}"
        );
        let variables = json!({ "patient": practice.id("patient"), "file": null });
        let answer = client.send_file(UPLOAD, variables, "variables.file", recording("cbr.mp3")).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "UNAUTHENTICATED", "upload: {what}");
    }
    assert_eq!(practice.fingerprint().await, before);
}

/// Tokens that claim to be the therapist's, or were hers once.
fn bad_tokens(practice: &Practice) -> Vec<(&'static str, String)> {
    let good = practice.actor("therapist").token.clone().unwrap();
    let (header, claims) = opened(&good);
    let but = |claim: &str, value: Value| {
        let mut claims = claims.clone();
        claims[claim] = value;
        claims
    };
    let parts: Vec<&str> = good.split('.').collect();
    let foreign = signed(&header, &"x".repeat(32), &claims);
    let admin = signed(&header, &"x".repeat(32), &but("role", json!("ADMIN")));
    let payload = |token: &str| token.split('.').nth(1).unwrap().to_owned();
    let nobody = json!("01890000-0000-7000-8000-000000000000");
    let mut tokens = vec![
        ("tampered with", format!("{}.{}.{}", parts[0], payload(&admin), parts[2])),
        ("alg none", format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.", parts[1])),
        ("alg none, signed", format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.{}", parts[1], parts[2])),
        ("without a signature", format!("{}.{}.", parts[0], parts[1])),
        ("of a wrong key", foreign),
        ("of another algorithm", signed(&Header::new(Algorithm::HS512), SECRET, &claims)),
        ("of another audience", signed(&header, SECRET, &but("aud", json!("elsewhere")))),
        ("of another issuer", signed(&header, SECRET, &but("iss", json!("elsewhere")))),
        ("of nobody", signed(&header, SECRET, &but("sub", nobody.clone()))),
        ("of no log-in", signed(&header, SECRET, &but("sid", nobody))),
        ("no token", "nonsense".to_owned()),
    ];
    let once_good = ["expired", "revoked", "deactivated"];
    tokens.extend(once_good.map(|name| (name, practice.actor(name).token.clone().unwrap())));
    tokens
}

#[tokio::test]
async fn a_log_in_of_somebody_else_lends_a_user_no_rights() {
    let practice = Practice::new().await;
    let (_, jane) = opened(practice.actor("therapist").token.as_ref().unwrap());
    let (header, mut eve) = opened(practice.actor("other_therapist").token.as_ref().unwrap());
    eve["sub"] = jane["sub"].clone();
    let mixed = practice.app.anonymous().with_token(&signed(&header, SECRET, &eve));
    assert_eq!(mixed.refusal("{ viewer { id } }", json!({})).await, "UNAUTHENTICATED");
}

#[tokio::test]
async fn no_id_of_another_therapist_leads_anywhere() {
    let practice = Practice::new().await;
    let eve = practice.actor("other_therapist");
    let ids = "SELECT id::text FROM patients WHERE name LIKE 'Maria%' UNION SELECT id::text FROM sessions
        UNION SELECT id::text FROM transcript_segments UNION SELECT id::text FROM extraction_runs
        UNION SELECT id::text FROM summary_releases UNION SELECT id::text FROM audit_events
        UNION SELECT family_id::text FROM auth_sessions";
    let ids: Vec<String> = sqlx::query_scalar(ids).fetch_all(practice.app.app.pool()).await.unwrap();
    assert!(ids.len() > 15, "{ids:?}");
    let doors = "query ($id: ID!, $after: String) {
        node(id: $id) { id } patient(id: $id) { id } session(id: $id) { id }
        sessions(filter: { patientId: $id }) { totalCount nodes { id } }
        listed: sessions(after: $after) { totalCount nodes { id } }
        patients(after: $after) { nodes { name } } }";
    for id in ids {
        let cursor = format!("c{}", id.replace('-', ""));
        let found = eve.call(doors, json!({ "id": id, "after": cursor })).await;
        for door in ["node", "patient", "session"] {
            assert_eq!(found[door], Value::Null, "{door}: {id}");
        }
        for door in ["sessions", "listed"] {
            assert_eq!(found[door], json!({ "totalCount": 0, "nodes": [] }), "{door}: {id}");
        }
        assert!(!found.to_string().contains(NAME));
    }
}

#[tokio::test]
async fn own_and_foreign_things_in_one_request_stay_apart() {
    let practice = Practice::new().await;
    let eve = practice.actor("other_therapist");
    let own = eve.patient("Own").await;
    let query = "query ($own: ID!, $foreign: ID!, $session: ID!) {
        a: patient(id: $own) { name } b: patient(id: $foreign) { name } c: session(id: $session) { patient { name } }
        d: node(id: $own) { id } e: node(id: $foreign) { id } }";
    let ids = json!({ "own": own, "foreign": practice.id("patient"), "session": practice.id("session") });
    let found = eve.call(query, ids).await;
    assert_eq!(found, json!({ "a": { "name": "Own" }, "b": null, "c": null, "d": { "id": own }, "e": null }));
}

#[tokio::test]
async fn an_idempotency_key_of_somebody_else_replays_nothing_of_theirs() {
    let practice = Practice::new().await;
    let (jane, eve) = (practice.actor("therapist"), practice.actor("other_therapist"));
    let made = jane.create_patient(json!({ "name": "Noah", "idempotencyKey": "made" })).await;
    let same = eve.create_patient(json!({ "name": "Noah", "idempotencyKey": "made" })).await;
    assert_ne!(made["patient"]["id"], same["patient"]["id"], "hers, not the first one's");
    let release = "mutation ($id: ID!) { releaseSummary(sessionId: $id, idempotencyKey: \"out\") {
        session { id } userErrors { code } } }";
    let id = json!({ "id": practice.id("session") });
    assert_eq!(jane.call(release, id.clone()).await["releaseSummary"]["userErrors"], json!([]));
    let refused = eve.call(release, id).await["releaseSummary"].clone();
    assert_eq!(refused["userErrors"][0]["code"], "NOT_FOUND");
    let upload = |client: Client, patient: Value| async move {
        let variables = json!({ "patient": patient, "file": null, "key": "tape" });
        client.send_file(UPLOAD, variables, "variables.file", recording("cbr.mp3")).await["data"]["uploadSession"].clone()
    };
    let uploaded = upload(jane.clone(), json!(practice.id("patient"))).await;
    assert!(uploaded["session"]["id"].is_string());
    let foreign = upload(eve.clone(), json!(practice.id("patient"))).await;
    assert_eq!((&foreign["session"], &foreign["userErrors"][0]["code"]), (&Value::Null, &json!("NOT_FOUND")));
    let own = upload(eve.clone(), same["patient"]["id"].clone()).await;
    assert_ne!(own["session"]["id"], uploaded["session"]["id"]);
}

#[tokio::test]
async fn a_patient_finds_nothing_unreleased_on_any_way() {
    let practice = Practice::new().await;
    let (jane, maria) = (practice.actor("therapist"), practice.actor("patient"));
    let (patient, session) = (practice.id("patient"), practice.id("session"));
    let extract = "mutation ($id: ID!) { extractNotes(sessionId: $id, force: true) { userErrors { code } } }";
    jane.call(extract, json!({ "id": session })).await;
    practice.app.run_jobs().await;
    let newest =
        "UPDATE extraction_runs SET notes = replace(notes::text, 'takes courage', 'is unreleased')::jsonb
        WHERE id IN (SELECT extraction_run_id FROM sessions)";
    practice.run(newest).await;
    let read = jane.call(READ, json!({ "id": session })).await.to_string();
    assert!(read.contains("is unreleased") && !read.contains("takes courage"), "{read}");
    let ways = [
        ("query ($session: ID!) { session(id: $session) NOTES }", json!({ "session": session })),
        (
            "query ($session: ID!) { node(id: $session) { ... on Session NOTES } }",
            json!({ "session": session }),
        ),
        ("{ sessions { nodes NOTES edges { node NOTES } } }", json!({})),
        (
            "query ($patient: ID!) { patient(id: $patient) { sessions { nodes NOTES } } }",
            json!({ "patient": patient }),
        ),
        (
            "{ patients(first: 1) { nodes { sessions(first: 2) { nodes { patient { sessions(first: 9) { nodes NOTES } } } } } } }",
            json!({}),
        ),
    ];
    for withdrawn in [false, true] {
        if withdrawn {
            let withdraw = "mutation ($id: ID!) { withdrawSummary(sessionId: $id) { userErrors { code } } }";
            jane.call(withdraw, json!({ "id": session })).await;
        }
        for (way, variables) in &ways {
            let notes = "{ transcriptText riskScreen { version } notes { patientSummary therapistNotes riskFlags { text }
                strategies { text evidence { quote } } } }";
            let seen = maria.call(&way.replace("NOTES", notes), variables.clone()).await.to_string();
            assert_eq!(seen.contains("takes courage"), !withdrawn, "{way}: {seen}");
            assert!(!seen.contains("is unreleased"), "{way}: {seen}");
            assert!(secrets_from("patient").iter().all(|secret| !seen.contains(secret)), "{way}: {seen}");
        }
    }
}

#[tokio::test]
async fn a_patient_who_watches_sees_how_far_it_is_and_no_notes_before_their_release() {
    let practice = Practice::new().await;
    let id = json!({ "id": practice.id("waiting") });
    let mut watch = Watch::start(practice.actor("patient"), WATCH, id).await;
    let mut seen = vec![watch.value().await];
    practice.app.run_jobs().await;
    seen.extend(watch.until_end().await);
    assert_eq!(seen.last().unwrap()["status"], "PROCESSED");
    for value in seen {
        assert_eq!(
            (&value["notes"], &value["release"], &value["transcriptText"]),
            (&Value::Null, &Value::Null, &Value::Null)
        );
    }
}

#[tokio::test]
async fn an_account_has_the_rights_of_its_one_role_whatever_it_is_tied_to() {
    let practice = Practice::new().await;
    let (patient, session) = (practice.id("patient"), practice.id("session"));
    let query = "query ($patient: ID!, $session: ID!) { patient(id: $patient) { name } session(id: $session) { id notes { run { id } } } }";
    let ids = json!({ "patient": patient, "session": session });
    // A therapist in the place of the patient, by a slip of a hand in the database.
    practice.bind(patient, "eve@example.com").await;
    let eve = practice.actor("other_therapist").call(query, ids.clone()).await;
    assert_eq!(eve, json!({ "patient": null, "session": null }));
    assert!(practice.actor("patient").call(query, ids.clone()).await["patient"].is_null(), "no longer hers");
    // A therapist who becomes an admin.
    practice.run("UPDATE users SET role = 'ADMIN' WHERE email = 'eve@example.com'").await;
    let tokens = practice.app.anonymous().log_in("eve@example.com", super::support::PASSWORD).await;
    let eve = practice.app.anonymous().with_token(tokens["accessToken"].as_str().unwrap());
    assert_eq!(
        eve.call(query, ids).await,
        json!({ "patient": { "name": null }, "session": { "id": session, "notes": null } })
    );
}

#[tokio::test]
async fn texts_that_would_like_to_be_code_are_kept_as_they_are() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let names = [
        "'; DROP TABLE patients; --",
        "\" OR \"\"=\"",
        "x' UNION SELECT hashed_password FROM users --",
        "{ viewer { email } }",
        "\"}) { patient { id } } evil: createPatient(input: {name: \"x",
        "$name",
        "${jndi:ldap://x}",
        "{{7*7}}",
        "%",
        "_",
        r"\",
        r"100%_\'",
        "<script>alert(1)</script>",
        "=cmd|'/c calc'!A1",
        "../../etc/passwd",
        "Zoë 李 \u{202e}gnp.exe",
    ];
    let search =
        "query ($search: String) { patients(search: $search, first: 100) { totalCount nodes { name } } }";
    for name in names {
        let made = jane.create_patient(json!({ "name": name })).await;
        assert_eq!(made["patient"]["name"], name, "{made}");
        let id = made["patient"]["id"].clone();
        let read = jane.call("query ($id: ID!) { patient(id: $id) { name } }", json!({ "id": id })).await;
        assert_eq!(read["patient"]["name"], name);
        let literal = format!("{{ patients(search: {}) {{ nodes {{ name }} }} }}", json!(name));
        assert!(
            jane.call(&literal, json!({})).await.to_string().contains(&json!(name).to_string()),
            "{name}"
        );
    }
    for name in names {
        let found = jane.call(search, json!({ "search": name })).await["patients"].clone();
        let expected =
            names.iter().filter(|other| other.to_lowercase().contains(&name.to_lowercase())).count();
        assert_eq!(found["totalCount"], expected, "{name}: {found}");
    }
    let all = jane.call(search, json!({})).await;
    assert_eq!(all["patients"]["totalCount"], names.len());
    assert_eq!(app.count("SELECT count(*) FROM users").await, 1);
}

#[tokio::test]
async fn nul_bytes_and_megabytes_are_refused_or_find_nothing_and_are_never_a_fault() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let patient = jane.patient("Noah").await;
    let (huge, over) = ("x".repeat(900_000), "x".repeat(1 << 20));
    for text in ["No\0ah", "\0", &huge] {
        for input in [
            json!({ "name": text }),
            json!({ "name": "Noah", "email": text }),
            json!({ "name": "Noah", "idempotencyKey": text }),
        ] {
            assert_eq!(code(&jane.create_patient(input).await), "INVALID_INPUT");
        }
        for query in [
            "query ($text: ID!) { patient(id: $text) { id } }",
            "query ($text: ID!) { session(id: $text) { id } }",
            "query ($text: ID!) { node(id: $text) { id } }",
        ] {
            let found = jane.call(query, json!({ "text": text })).await;
            assert!(found.as_object().unwrap().values().all(Value::is_null), "{query}");
        }
        let after = "query ($text: String) { patients(after: $text) { totalCount } }";
        assert_eq!(jane.refusal(after, json!({ "text": text })).await, "BAD_REQUEST");
        for mutation in ["releaseSummary", "withdrawSummary", "retrySession", "extractNotes"] {
            let query = format!(
                "mutation ($text: ID!) {{ {mutation}(sessionId: $text) {{ userErrors {{ code message }} }} }}"
            );
            assert_eq!(code(&jane.call(&query, json!({ "text": text })).await[mutation]), "NOT_FOUND");
        }
    }
    let search = "query ($text: String) { patients(search: $text) { nodes { id } } }";
    assert_eq!(jane.call(search, json!({ "text": huge })).await["patients"]["nodes"], json!([]));
    assert_eq!(jane.refusal(search, json!({ "text": over })).await, "LIMIT_EXCEEDED");
    assert_eq!(
        jane.call(search, json!({ "text": "Noah" })).await["patients"]["nodes"],
        json!([{ "id": patient }])
    );
}

#[tokio::test]
async fn a_stranger_learns_the_schema_and_nothing_else() {
    let practice = Practice::new().await;
    let stranger = practice.actor("anonymous");
    let schema = stranger.call("{ __typename __schema { queryType { name } } }", json!({})).await;
    assert_eq!(schema, json!({ "__typename": "Query", "__schema": { "queryType": { "name": "Query" } } }));
    let answer = stranger.answer(READ, json!({ "id": practice.id("session") })).await.to_string();
    assert!(secrets_from("anonymous").iter().all(|secret| !answer.contains(secret)), "{answer}");
}

/// Subscribes over server-sent events: the status, and everything up to the end.
async fn event_stream(client: &Client, query: &str, variables: Value) -> (u16, String) {
    let request = client.post("/graphql").header("accept", "text/event-stream");
    let answer = request.json(&json!({ "query": query, "variables": variables })).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}
