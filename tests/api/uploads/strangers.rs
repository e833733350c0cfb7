//! Who may not, and how soon they hear of it.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use super::{kept, numbered, open};
use crate::support::tus::id_of;
use crate::support::{TestApp, code};

/// More than anybody could send meanwhile.
const LARGE: usize = 100 << 20;

#[tokio::test]
async fn whoever_may_not_upload_hears_so_before_the_first_byte_and_can_go_on() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let path = jane.begun(LARGE).await;
    let (maria, _) = app.patient_user(&jane, "maria").await;
    let no_good = app.anonymous().with_token("nonsense");
    for (who, client, status) in [
        ("anonymous", app.anonymous(), "401"),
        ("a token that is none", no_good, "401"),
        ("a patient", maria, "403"),
        ("an admin", app.admin("root").await, "403"),
        ("another therapist", app.therapist("eve").await, "404"),
    ] {
        let started = Instant::now();
        let mut raw = client.start_patch(&path, 0, LARGE, b"").await;
        let answer = raw.answer().await;
        assert!(answer.starts_with(&format!("http/1.1 {status}")), "{who}: {answer}");
        assert!(answer.contains("tus-resumable: 1.0.0"), "{who}");
        // A token is checked in the database, on a busy machine; before a body of 100 MB it is soon.
        assert!(started.elapsed() < Duration::from_secs(10), "{who}");
        // A smaller body is read off, and the connection serves the next request.
        let mut raw = client.start_patch(&path, 0, 8, b"0123").await;
        assert!(raw.answer().await.starts_with(&format!("http/1.1 {status}")), "{who}");
        raw.write(b"4567OPTIONS /uploads HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(raw.answer().await.starts_with("http/1.1 204"), "{who}");
    }
    assert_eq!(jane.offset(&path).await, 0);
    let told = "SELECT count(*) FROM audit_events WHERE action = 'refused.uploads' AND outcome = 'REFUSED'";
    // Two of each but the one whose token is none: that is another event, once a window.
    assert_eq!(app.count(told).await, 8);
}

#[tokio::test]
async fn whoever_waits_to_be_asked_for_the_body_is_not_asked() {
    let app = TestApp::new().await;
    let mut raw = crate::support::tus::Raw::connect(&app.anonymous()).await;
    raw.write(
        b"POST /uploads HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 1000\r\n\
        Content-Type: application/offset+octet-stream\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n",
    )
    .await;
    assert!(raw.answer().await.starts_with("http/1.1 401"));
    raw.closed().await;
}

#[tokio::test]
async fn uploads_of_others_and_those_that_are_not_there_look_alike() {
    let app = TestApp::new().await;
    let (jane, eve) = (app.therapist("jane").await, app.therapist("eve").await);
    let bytes = numbered(1000);
    let path = jane.sent(&bytes).await;
    let patient = eve.patient("Daniel").await;
    let mut heard = Vec::new();
    for path in [path.as_str(), "/uploads/0190f3c0-0000-7000-8000-000000000000"] {
        let mut all = Vec::new();
        for request in [
            eve.tus(Method::HEAD, path),
            eve.patch(path, 1000, b""),
            eve.patch(path, 0, b"mine"),
            eve.tus(Method::DELETE, path),
        ] {
            let answer = request.send().await.unwrap();
            all.push(format!("{} {}", answer.status(), answer.text().await.unwrap()));
        }
        let payload = eve.finish(path, json!({ "patientId": patient })).await;
        assert_eq!(code(&payload), "NOT_FOUND");
        all.push(payload.to_string());
        heard.push(all);
    }
    assert_eq!(heard[0], heard[1]);
    assert!(heard[0][..4].iter().all(|answer| answer.starts_with("404")), "{heard:?}");
    assert_eq!((kept(&app, &path).await, open(&app).await), (bytes, 1));
}

#[tokio::test]
async fn a_log_in_that_ends_stops_its_upload() {
    let app = TestApp::new().await;
    let tokens = app.tokens("jane").await;
    let jane = app.anonymous().with_token(tokens["accessToken"].as_str().unwrap());
    let path = jane.begun(1000).await;
    assert_eq!(jane.send(&path, 0, &numbered(100)).await, 204);
    let mut raw = jane.start_patch(&path, 100, 900, &numbered(50)).await;
    let log_out = "mutation ($token: String!) { logOut(input: { refreshToken: $token }) { loggedOut } }";
    jane.call(log_out, json!({ "token": tokens["refreshToken"] })).await;
    assert!(raw.answer().await.starts_with("http/1.1 401"));
    let again = app.anonymous().log_in("jane@example.com", crate::support::PASSWORD).await;
    let jane = app.anonymous().with_token(again["accessToken"].as_str().unwrap());
    assert_eq!(jane.offset(&path).await, 100, "{}", id_of(&path));
}
