//! How a file is fetched, by whom, and what is written down of it.

use std::time::Duration;

use chrono::TimeDelta;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    delete, export_notes, exported, fetch, finished, id_of, job, path_of, practice, processed, purge, refusal,
};
use crate::support::client::Client;
use crate::support::object_store::ScriptedStore;
use crate::support::{PASSWORD, TestApp, code};

async fn url(client: &Client, id: &str) -> String {
    job(client, id).await["downloadUrl"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_file_comes_by_token_and_by_link_with_its_type_its_name_and_for_no_cache() {
    let app = TestApp::new().await;
    let (jane, _, session) = practice(&app).await;
    for (format, media_type) in [
        ("PDF", "application/pdf"),
        ("DOCX", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ] {
        let id = finished(&app, &jane, &session, format).await;
        let link = url(&jane, &id).await;
        assert!(link.starts_with(&format!("{}?ticket=", path_of(&id))), "{link}");
        let by_token = fetch(&jane, &path_of(&id)).await;
        let by_link = fetch(&app.anonymous(), &link).await;
        let mut bodies = Vec::new();
        for answer in [by_token, by_link] {
            let headers = answer.headers();
            assert_eq!(answer.status(), 200);
            assert_eq!(headers["content-type"], media_type);
            assert_eq!(headers["cache-control"], "no-store");
            assert_eq!(headers["accept-ranges"], "bytes");
            assert_eq!(headers["x-content-type-options"], "nosniff");
            let ending = format.to_lowercase();
            assert_eq!(
                headers["content-disposition"],
                format!(
                    "attachment; filename=\"Session notes Zoe Muller 2026-03-10.{ending}\"; \
                     filename*=UTF-8''Session%20notes%20Zo%C3%AB%20M%C3%BCller%202026-03-10.{ending}"
                )
            );
            assert_eq!(headers["etag"], format!("\"{}\"", job(&jane, &id).await["sha256"].as_str().unwrap()));
            let length: usize = headers["content-length"].to_str().unwrap().parse().unwrap();
            let body = answer.bytes().await.unwrap();
            assert_eq!(body.len(), length);
            bodies.push(body);
        }
        assert!(bodies[0] == bodies[1] && !bodies[0].is_empty());
    }
}

#[tokio::test]
async fn parts_of_a_file_can_be_asked_for_from_a_folder_and_from_an_object_store() {
    let store = ScriptedStore::start().await;
    let settings = store.settings();
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    for app in [TestApp::new().await, TestApp::with(&settings).await] {
        let (jane, _, session) = practice(&app).await;
        let id = finished(&app, &jane, &session, "PDF").await;
        let whole = fetch(&jane, &path_of(&id)).await;
        let etag = whole.headers()["etag"].to_str().unwrap().to_owned();
        let whole = whole.bytes().await.unwrap();
        let bytes = whole.len();
        let ask = async |range: &str, if_range: Option<&str>| {
            let mut request = jane.request(Method::GET, &path_of(&id)).header("range", range);
            if let Some(etag) = if_range {
                request = request.header("if-range", etag);
            }
            request.send().await.unwrap()
        };
        for (range, part) in [
            ("bytes=0-0".to_owned(), 0..1),
            ("bytes=10-19".to_owned(), 10..20),
            (format!("bytes={}-", bytes - 5), bytes - 5..bytes),
            ("bytes=-7".to_owned(), bytes - 7..bytes),
            (format!("bytes=1-{}", bytes * 2), 1..bytes),
        ] {
            let answer = ask(&range, Some(&etag)).await;
            assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT, "{range}");
            let told = format!("bytes {}-{}/{bytes}", part.start, part.end - 1);
            assert_eq!(answer.headers()["content-range"], told.as_str());
            assert_eq!(answer.bytes().await.unwrap(), whole[part], "{range}");
        }
        let beyond = ask(&format!("bytes={bytes}-"), None).await;
        assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
        assert_eq!(beyond.headers()["content-range"], format!("bytes */{bytes}"));
        for (range, if_range) in
            [("bytes=0-1", Some("\"another\"")), ("bytes=0-1,5-6", None), ("nonsense", None)]
        {
            let answer = ask(range, if_range).await;
            assert_eq!(
                (answer.status().as_u16(), answer.bytes().await.unwrap()),
                (200, whole.clone()),
                "{range}"
            );
        }
        let head = jane.request(Method::HEAD, &path_of(&id)).send().await.unwrap();
        assert_eq!(
            (head.status().as_u16(), &head.headers()["content-length"]),
            (200, &bytes.to_string().parse().unwrap())
        );
        assert!(head.bytes().await.unwrap().is_empty());
        let post = jane.post(&path_of(&id)).send().await.unwrap();
        assert_eq!(post.headers()["allow"], "GET, HEAD");
        assert_eq!(refusal(post).await, (405, "BAD_REQUEST".into()));
    }
}

#[tokio::test]
async fn a_link_is_good_for_its_document_its_minutes_and_its_log_in_and_not_when_it_was_tampered_with() {
    let app = TestApp::new().await;
    let (jane, _, session) = practice(&app).await;
    let (id, other) =
        (finished(&app, &jane, &session, "PDF").await, finished(&app, &jane, &session, "PDF").await);
    let anyone = app.anonymous();
    let link = url(&jane, &id).await;
    let ticket = link.split_once("ticket=").unwrap().1.to_owned();
    let mut tampered = ticket.clone().into_bytes();
    tampered[3] = if tampered[3] == b'A' { b'B' } else { b'A' };
    for bad in [
        format!("{}?ticket={ticket}", path_of(&other)),
        format!("{}?ticket={}", path_of(&id), String::from_utf8(tampered).unwrap()),
        format!("{}?ticket={}", path_of(&id), &ticket[..40]),
        format!("{}?ticket=", path_of(&id)),
        format!("{}?ticket={}", path_of(&id), jane.token.as_ref().unwrap()),
        path_of(&id),
    ] {
        let answer = fetch(&anyone, &bad).await;
        assert_eq!(answer.headers()["www-authenticate"], "Bearer");
        assert_eq!(refusal(answer).await, (401, "UNAUTHENTICATED".into()), "{bad}");
    }
    let refused = "SELECT count(*) FROM audit_events WHERE action = 'ticket.refused' AND outcome = 'REFUSED'";
    assert_eq!(app.count(refused).await, 1, "once a window");
    app.clock.advance(TimeDelta::minutes(15) - TimeDelta::seconds(1));
    assert_eq!(fetch(&anyone, &link).await.status(), 200);
    app.clock.advance(TimeDelta::seconds(1));
    assert_eq!(refusal(fetch(&anyone, &link).await).await, (401, "UNAUTHENTICATED".into()));
}

#[tokio::test]
async fn a_link_ends_with_the_log_in_it_was_given_to_and_with_the_account() {
    let app = TestApp::new().await;
    let (jane, _, session) = practice(&app).await;
    let id = finished(&app, &jane, &session, "PDF").await;
    let anyone = app.anonymous();
    let log_out = "mutation ($token: String!) { logOut(input: { refreshToken: $token }) { loggedOut } }";
    let tokens = anyone.log_in("jane@example.com", PASSWORD).await;
    let there = anyone.with_token(tokens["accessToken"].as_str().unwrap());
    let (here, there) = (url(&jane, &id).await, url(&there, &id).await);
    anyone.call(log_out, json!({ "token": tokens["refreshToken"] })).await;
    assert_eq!(fetch(&anyone, &there).await.status(), 401, "that log-in has ended");
    assert_eq!(fetch(&anyone, &here).await.status(), 200, "this one has not");
    app.run("UPDATE users SET is_active = false WHERE email = 'jane@example.com'").await;
    assert_eq!(fetch(&anyone, &here).await.status(), 401);
}

#[tokio::test]
async fn what_there_is_no_file_of_says_why_and_what_is_not_yours_is_not_there() {
    let app = TestApp::new().await;
    let (jane, patient, session) = practice(&app).await;
    let id = id_of(&export_notes(&jane, json!({ "sessionIds": [session], "format": "PDF" })).await);
    let path = path_of(&id);
    assert_eq!(refusal(fetch(&jane, &path).await).await, (409, "INVALID_STATE".into()), "queued");
    app.run("UPDATE export_jobs SET status = 'RUNNING'").await;
    assert_eq!(refusal(fetch(&jane, &path).await).await, (409, "INVALID_STATE".into()), "running");
    app.run_jobs().await;
    assert_eq!(fetch(&jane, &path).await.status(), 200);
    let (eve, admin) = (app.therapist("eve").await, app.admin("root").await);
    let (maria, _) = app.patient_user(&eve, "maria").await;
    assert_eq!(refusal(fetch(&eve, &path).await).await, (404, "NOT_FOUND".into()));
    for unknown in
        ["01890000-0000-7000-8000-000000000000", "none-of-ours", "00000000-0000-0000-0000-000000000000"]
    {
        assert_eq!(
            refusal(fetch(&jane, &path_of(unknown)).await).await,
            (404, "NOT_FOUND".into()),
            "{unknown}"
        );
    }
    for nobody in [admin, maria] {
        assert_eq!(refusal(fetch(&nobody, &path).await).await, (403, "FORBIDDEN".into()));
    }
    assert_eq!(refusal(fetch(&app.anonymous(), &path).await).await, (401, "UNAUTHENTICATED".into()));
    assert_eq!(
        refusal(fetch(&jane.with_token("nonsense"), &path).await).await,
        (401, "UNAUTHENTICATED".into())
    );
    let refusals = format!(
        "SELECT count(*) FROM audit_events WHERE action = 'refused.download' AND outcome = 'REFUSED'
            AND subject_id = '{id}' AND patient_id = '{patient}'"
    );
    assert_eq!(
        app.count(&refusals).await,
        4,
        "of the other therapist, the admin, the patient and a stranger"
    );
    app.run("UPDATE export_jobs SET status = 'FAILED', error_message = 'x', file_key = NULL").await;
    assert_eq!(refusal(fetch(&jane, &path).await).await, (409, "INVALID_STATE".into()), "failed");
    app.run("UPDATE export_jobs SET status = 'EXPIRED', error_message = NULL").await;
    assert_eq!(refusal(fetch(&jane, &path).await).await, (410, "NOT_FOUND".into()), "expired");
}

#[tokio::test]
async fn requests_downloads_and_deletions_are_in_the_trail_with_who_and_where() {
    let app = TestApp::new().await;
    let (jane, patient, session) = practice(&app).await;
    let id = finished(&app, &jane, &session, "PDF").await;
    let link = url(&jane, &id).await;
    jane.request(Method::GET, &path_of(&id)).header("user-agent", "Browser/1").send().await.unwrap();
    app.anonymous().request(Method::GET, &link).header("user-agent", "Mail/2").send().await.unwrap();
    jane.request(Method::HEAD, &path_of(&id)).send().await.unwrap();
    delete(&jane, &id).await;
    let query = format!(
        "SELECT action, actor_role, ip, user_agent FROM audit_events
        WHERE subject_id = '{id}' AND subject_type = 'export_job' AND patient_id = '{patient}' AND outcome = 'OK' ORDER BY seq"
    );
    let events: Vec<(String, String, Option<String>, Option<String>)> =
        sqlx::query_as(sqlx::AssertSqlSafe(query)).fetch_all(app.app.pool()).await.unwrap();
    let told: Vec<_> = events
        .iter()
        .map(|(action, role, ip, agent)| (action.as_str(), role.as_str(), ip.as_deref(), agent.as_deref()))
        .collect();
    let here = Some("127.0.0.1");
    assert_eq!(
        told,
        [
            ("export.request", "THERAPIST", here, None),
            ("export.complete", "SYSTEM", None, None),
            ("export.download", "THERAPIST", here, Some("Browser/1")),
            ("export.download", "THERAPIST", here, Some("Mail/2")),
            ("export.delete", "THERAPIST", here, None),
        ]
    );
}

#[tokio::test]
async fn a_file_that_cannot_be_written_down_is_not_given() {
    let app = TestApp::new().await;
    let (jane, _, session) = practice(&app).await;
    let id = finished(&app, &jane, &session, "PDF").await;
    app.run("ALTER TABLE audit_events ADD CONSTRAINT none CHECK (action <> 'export.download') NOT VALID")
        .await;
    assert_eq!(refusal(fetch(&jane, &path_of(&id)).await).await, (500, "INTERNAL".into()));
}

/// The bytes of a job's file, and the row that tells of them, are made so many.
async fn enlarge(app: &TestApp, bytes: usize) {
    let file = exported(app).pop().unwrap();
    std::fs::write(file, vec![b'x'; bytes]).unwrap();
    app.run(&format!("UPDATE export_jobs SET size_bytes = {bytes}")).await;
}

#[tokio::test]
async fn a_download_ends_with_the_log_in_and_is_seen_to_be_cut() {
    let app = TestApp::new().await;
    let (jane, _, session) = practice(&app).await;
    let id = finished(&app, &jane, &session, "PDF").await;
    let bytes = 64 << 20;
    enlarge(&app, bytes).await;
    let mut answer = fetch(&app.anonymous(), &url(&jane, &id).await).await;
    assert_eq!(answer.status(), 200);
    let mut read = answer.chunk().await.unwrap().unwrap().len();
    let end = "mutation { logOutEverywhere { loggedOut } }";
    jane.call(end, json!({})).await;
    let gone = tokio::time::timeout(Duration::from_mins(1), async {
        while app.app.auth.presence.count() > 0 {
            tokio::task::yield_now().await;
        }
    });
    gone.await.expect("nobody is here any more");
    // What is on its way may still arrive; the rest does not.
    let cut = tokio::time::timeout(Duration::from_mins(1), async {
        loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => read += chunk.len(),
                Ok(None) => return false,
                Err(_) => return true,
            }
        }
    });
    assert!(cut.await.unwrap(), "{read} of {bytes} bytes came, and no error");
    assert!(read < bytes);
}

#[tokio::test]
async fn a_file_that_vanishes_from_the_store_is_not_half_given() {
    let app = TestApp::new().await;
    let (jane, _, session) = practice(&app).await;
    let id = finished(&app, &jane, &session, "PDF").await;
    std::fs::remove_file(exported(&app).pop().unwrap()).unwrap();
    assert_eq!(refusal(fetch(&jane, &path_of(&id)).await).await, (410, "NOT_FOUND".into()));
    let downloads = "SELECT count(*) FROM audit_events WHERE action = 'export.download'";
    assert_eq!(app.count(downloads).await, 0, "nothing was given");
}

#[tokio::test]
async fn downloads_have_a_limit_of_their_own() {
    let app = TestApp::with(&[("RATE_LIMIT_DOWNLOADS", "3/1m")]).await;
    let (jane, _, session) = practice(&app).await;
    let id = finished(&app, &jane, &session, "PDF").await;
    let link = url(&jane, &id).await;
    for _ in 0..2 {
        assert_eq!(fetch(&jane, &path_of(&id)).await.status(), 200);
    }
    assert_eq!(fetch(&app.anonymous(), &link).await.status(), 200, "whoever holds the link is the same user");
    let refused = fetch(&jane, &path_of(&id)).await;
    assert_eq!(refused.headers()["retry-after"], "20");
    assert_eq!(refusal(refused).await, (429, "RATE_LIMITED".into()));
    assert_eq!(job(&jane, &id).await["status"], "COMPLETED", "the rest goes on");
}

#[tokio::test]
async fn an_expired_files_link_is_gone_also_while_it_is_still_there() {
    let app = TestApp::with(&[("EXPORT_RETENTION_DAYS", "1"), ("ACCESS_TOKEN_MINUTES", "10000")]).await;
    let (jane, patient, session) = practice(&app).await;
    let id = finished(&app, &jane, &session, "PDF").await;
    app.clock.advance(TimeDelta::days(1) - TimeDelta::minutes(1));
    let link = url(&jane, &id).await;
    app.clock.advance(TimeDelta::minutes(1));
    assert_eq!(refusal(fetch(&app.anonymous(), &link).await).await, (410, "NOT_FOUND".into()));
    purge(&app).await;
    assert_eq!(refusal(fetch(&app.anonymous(), &link).await).await, (410, "NOT_FOUND".into()));
    let fresh = processed(&app, &jane, &patient).await;
    finished(&app, &jane, &fresh, "PDF").await;
    let none = export_notes(&jane, json!({ "sessionIds": Value::Array(vec![]), "format": "PDF" })).await;
    assert_eq!(code(&none), "INVALID_INPUT");
}
