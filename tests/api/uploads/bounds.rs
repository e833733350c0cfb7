//! How much one may have under way.

use futures::future::join_all;
use reqwest::Method;

use super::open;
use crate::support::TestApp;
use crate::support::tus::header;

const MB: usize = 1 << 20;

#[tokio::test]
async fn a_therapist_has_so_many_uploads_and_not_one_more_over_all_processes() {
    let app = TestApp::with(&[("MAX_UNFINISHED_UPLOADS", "4")]).await;
    let other = app.sibling(&[("MAX_UNFINISHED_UPLOADS", "4")]).await;
    let (jane, eve) = (app.therapist("jane").await, app.therapist("eve").await);
    let there = other.anonymous().with_token(jane.token.as_ref().unwrap());
    let asked = (0..16).map(|n| if n % 2 == 0 { jane.begin(10) } else { there.begin(10) });
    let answers = join_all(asked).await;
    let begun: Vec<_> = answers.iter().filter(|answer| answer.status() == 201).collect();
    assert_eq!((begun.len(), open(&app).await), (4, 4));
    assert!(answers.iter().all(|answer| [201, 429].contains(&answer.status().as_u16())));
    assert_eq!(eve.begin(10).await.status(), 201, "another therapist's do not count");
    let path = header(begun[0], "location").unwrap();
    jane.tus(Method::DELETE, path).send().await.unwrap();
    assert_eq!(jane.begin(10).await.status(), 201, "one that has ended does not count");
    assert_eq!(jane.begin(10).await.status(), 429);
    app.clock.advance(chrono::TimeDelta::hours(25));
    let again = app.anonymous().log_in("jane@example.com", crate::support::PASSWORD).await;
    let jane = app.anonymous().with_token(again["accessToken"].as_str().unwrap());
    assert_eq!(jane.begin(10).await.status(), 201, "those that have expired do not count");
}

#[tokio::test]
async fn unfinished_uploads_are_bounded_together_by_the_length_they_were_begun_with() {
    let app = TestApp::with(&[("UNFINISHED_UPLOADS_MB", "10"), ("MAX_UPLOAD_MB", "6")]).await;
    let jane = app.therapist("jane").await;
    let first = jane.begun(6 * MB).await;
    assert_eq!(jane.begin(4 * MB + 1).await.status(), 413);
    let answers = join_all((0..8).map(|_| jane.begin(MB))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status() == 201).count(), 4);
    let deferred = || jane.tus(Method::POST, "/uploads").header("upload-defer-length", "1").send();
    assert_eq!(deferred().await.unwrap().status(), 413);
    jane.tus(Method::DELETE, &first).send().await.unwrap();
    // As long as its length is not known, it counts as the largest there is.
    let answer = deferred().await.unwrap();
    assert_eq!((answer.status().as_u16(), jane.begin(1).await.status().as_u16()), (201, 413));
    let path = header(&answer, "location").unwrap();
    assert_eq!(jane.patch(path, 0, b"x").header("upload-length", MB).send().await.unwrap().status(), 204);
    assert_eq!(jane.begin(5 * MB).await.status(), 201);
}

#[tokio::test]
async fn more_than_the_length_is_not_taken_whether_it_is_announced_or_not() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let path = jane.begun(10).await;
    assert_eq!(jane.send(&path, 0, b"0123456789a").await, 413);
    assert_eq!(jane.offset(&path).await, 0);
    let unannounced = reqwest::Body::wrap_stream(futures::stream::iter(
        [&b"01234"[..], b"56789", b"abc"].map(Ok::<_, std::io::Error>),
    ));
    let answer = jane.patch(&path, 0, b"").body(unannounced).send().await.unwrap();
    assert_eq!(answer.status(), 413);
    assert!(jane.offset(&path).await <= 10);
}

#[tokio::test]
async fn requests_to_uploads_have_a_budget_of_their_own() {
    let app = TestApp::with(&[("RATE_LIMIT_UPLOADS", "3/1m"), ("RATE_LIMIT_REQUESTS", "50/1m")]).await;
    let jane = app.therapist("jane").await;
    let path = jane.begun(10).await;
    assert_eq!((jane.offset(&path).await, jane.offset(&path).await), (0, 0));
    let answer = jane.patch(&path, 0, b"x").send().await.unwrap();
    assert_eq!((answer.status().as_u16(), header(&answer, "retry-after")), (429, Some("20")));
    jane.patient("Daniel").await;
    let told =
        "SELECT count(*) FROM audit_events WHERE action = 'rate_limit.uploads' AND outcome = 'REFUSED'";
    assert_eq!(app.count(told).await, 1);
    app.clock.advance(chrono::TimeDelta::seconds(20));
    assert_eq!(jane.offset(&path).await, 0);
}

#[tokio::test]
async fn an_upload_has_a_bounded_number_of_parts() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let path = jane.begun(10_000).await;
    app.run(
        "INSERT INTO unfinished_parts SELECT id, n, 1, id, created_at, created_at
        FROM unfinished_uploads, generate_series(0, 4094) AS n; UPDATE unfinished_uploads SET received = 4095",
    )
    .await;
    assert_eq!(jane.send(&path, 4095, b"x").await, 204);
    assert_eq!(jane.send(&path, 4096, b"x").await, 400);
    assert_eq!(jane.offset(&path).await, 4096);
}
