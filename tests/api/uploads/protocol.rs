//! The protocol to the letter.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta};
use reqwest::{Method, RequestBuilder};
use sha1::{Digest, Sha1};
use sha2::Sha256;

use super::{kept, numbered, open};
use crate::support::TestApp;
use crate::support::tus::{BYTES, header};

const ORIGIN: &str = "https://app.example.com";

#[tokio::test]
async fn everybody_may_ask_what_can_be_done() {
    let app = TestApp::with(&[("MAX_UPLOAD_MB", "7")]).await;
    for path in ["/uploads", "/uploads/", "/uploads/anything"] {
        // Without a version and without a token.
        let answer = app.anonymous().request(Method::OPTIONS, path).send().await.unwrap();
        assert_eq!(answer.status(), 204, "{path}");
        assert_eq!(header(&answer, "tus-version"), Some("1.0.0"));
        assert_eq!(header(&answer, "tus-resumable"), Some("1.0.0"));
        assert_eq!(header(&answer, "tus-max-size"), Some("7340032"));
        assert_eq!(header(&answer, "tus-checksum-algorithm"), Some("sha1,sha256"));
        let extensions: Vec<_> = header(&answer, "tus-extension").unwrap().split(',').collect();
        for extension in ["creation", "creation-with-upload", "expiration", "checksum", "termination"] {
            assert!(extensions.contains(&extension), "{extensions:?}");
        }
    }
}

#[tokio::test]
async fn a_web_page_of_a_listed_origin_may_use_all_of_it() {
    let app = TestApp::with(&[("CORS_ALLOWED_ORIGINS", ORIGIN)]).await;
    let jane = app.therapist("jane").await;
    let preflight = app.anonymous().request(Method::OPTIONS, "/uploads").header("origin", ORIGIN);
    let answer = preflight.header("access-control-request-method", "PATCH").send().await.unwrap();
    assert_eq!(header(&answer, "access-control-allow-origin"), Some(ORIGIN));
    for method in ["POST", "HEAD", "PATCH", "DELETE"] {
        assert!(header(&answer, "access-control-allow-methods").unwrap().contains(method), "{method}");
    }
    for name in ["tus-resumable", "upload-offset", "upload-length", "upload-metadata", "upload-checksum"] {
        assert!(header(&answer, "access-control-allow-headers").unwrap().contains(name), "{name}");
    }
    let create = jane.tus(Method::POST, "/uploads").header("origin", ORIGIN).header("upload-length", 1);
    let answer = create.send().await.unwrap();
    assert_eq!(header(&answer, "access-control-allow-origin"), Some(ORIGIN));
    for name in ["location", "upload-offset", "upload-length", "upload-expires", "tus-resumable"] {
        assert!(header(&answer, "access-control-expose-headers").unwrap().contains(name), "{name}");
    }
}

#[tokio::test]
async fn an_upload_says_how_far_it_is_and_what_was_said_of_it() {
    let app = TestApp::new().await;
    let (jane, bytes) = (app.therapist("jane").await, numbered(1000));
    let metadata = "filename w4RyenRpbi5tcDM=,filetype YXVkaW8vbXBlZw==,is_private";
    let create = jane.tus(Method::POST, "/uploads/").header("upload-length", 1000);
    let answer = create.header("upload-metadata", metadata).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), header(&answer, "tus-resumable")), (201, Some("1.0.0")));
    let path = header(&answer, "location").unwrap().to_owned();
    for (offset, length) in [(0, 0), (0, 1), (1, 698), (699, 301), (1000, 0)] {
        let head = jane.tus(Method::HEAD, &path).send().await.unwrap();
        assert_eq!(head.status(), 200);
        assert_eq!(header(&head, "upload-offset"), Some(offset.to_string().as_str()));
        assert_eq!(header(&head, "upload-length"), Some("1000"));
        assert_eq!(header(&head, "upload-metadata"), Some(metadata));
        assert_eq!(header(&head, "cache-control"), Some("no-store"));
        assert_eq!(header(&head, "tus-resumable"), Some("1.0.0"));
        let answer = jane.patch(&path, offset, &bytes[offset..offset + length]).send().await.unwrap();
        assert_eq!(answer.status(), 204);
        assert_eq!(header(&answer, "upload-offset"), Some((offset + length).to_string().as_str()));
        assert_eq!(header(&answer, "tus-resumable"), Some("1.0.0"));
    }
    assert_eq!(kept(&app, &path).await, bytes);
}

#[tokio::test]
async fn an_empty_file_is_complete_from_the_start() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let path = jane.begun(0).await;
    assert_eq!(jane.offset(&path).await, 0);
    assert_eq!(jane.send(&path, 0, b"x").await, 413);
}

/// Another way to say something, and what it answers.
type Case = (&'static str, RequestBuilder, u16);

#[tokio::test]
async fn what_is_not_by_the_protocol_is_refused_and_changes_nothing() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let path = jane.begun(10).await;
    assert_eq!(jane.send(&path, 0, b"01234").await, 204);
    let files = app.files();
    let bare = |method, path: &str| jane.request(method, path);
    let create = || jane.tus(Method::POST, "/uploads");
    let sending = |offset: &str| {
        let request = jane.tus(Method::PATCH, &path).header("upload-offset", offset).body("56");
        request.header("content-type", BYTES)
    };
    let cases: Vec<Case> = vec![
        ("no version", bare(Method::POST, "/uploads").header("upload-length", 1), 412),
        ("an older version", bare(Method::HEAD, &path).header("tus-resumable", "0.2.2"), 412),
        ("two versions", jane.tus(Method::HEAD, &path).header("tus-resumable", "1.0.0"), 400),
        ("no length", create(), 400),
        ("a length that is none", create().header("upload-length", "ten"), 400),
        ("a length with a sign", create().header("upload-length", "+10"), 400),
        ("a negative length", create().header("upload-length", "-1"), 400),
        ("a length beyond numbers", create().header("upload-length", "9".repeat(30)), 400),
        ("length and none", create().header("upload-length", 1).header("upload-defer-length", "1"), 400),
        ("a deferral of 2", create().header("upload-defer-length", "2"), 400),
        (
            "metadata without base64",
            create().header("upload-length", 1).header("upload-metadata", "a !"),
            400,
        ),
        ("a key twice", create().header("upload-length", 1).header("upload-metadata", "a YQ==,a YQ=="), 400),
        ("too large a file", create().header("upload-length", 100 * 1024 * 1024 + 1), 413),
        ("a body of another type", create().header("upload-length", 1).body("x"), 415),
        ("another type", sending("5").header("content-type", "text/plain"), 400),
        (
            "another type alone",
            jane.tus(Method::PATCH, &path)
                .header("upload-offset", 5)
                .header("content-type", "text/plain")
                .body("56"),
            415,
        ),
        ("no type", jane.tus(Method::PATCH, &path).header("upload-offset", 5).body("56"), 415),
        ("no offset", jane.tus(Method::PATCH, &path).header("content-type", BYTES).body("56"), 400),
        ("an offset that is none", sending("five"), 400),
        ("an offset before the end", sending("4"), 409),
        ("an offset beyond the end", sending("6"), 409),
        ("more than fits", sending("5").body("56789a"), 413),
        ("another length", sending("5").header("upload-length", 11), 400),
        ("nothing there", jane.tus(Method::HEAD, "/uploads/0190f3c0-0000-7000-8000-000000000000"), 404),
        ("no id", jane.tus(Method::HEAD, "/uploads/x"), 404),
        ("nothing to be got", jane.tus(Method::GET, &path), 405),
        ("nothing to be put", jane.tus(Method::PUT, "/uploads"), 405),
    ];
    for (what, request, status) in cases {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{what}");
        assert_eq!(header(&answer, "tus-resumable"), Some("1.0.0"), "{what}");
        assert_eq!(header(&answer, "tus-version"), (status == 412).then_some("1.0.0"), "{what}");
        assert_eq!(header(&answer, "allow").is_some(), status == 405, "{what}");
        let kind = header(&answer, "content-type").map(str::to_owned);
        let text = answer.text().await.unwrap();
        assert!(text.len() < 200 && kind.is_none_or(|kind| kind.starts_with("text/plain")), "{what}: {text}");
    }
    assert_eq!((jane.offset(&path).await, open(&app).await, app.files()), (5, 1, files));
}

#[tokio::test]
async fn a_method_can_be_named_in_a_header() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let path = jane.begun(5).await;
    let post = |method: &str| {
        jane.tus(Method::POST, &path).header("x-http-method-override", method).header("upload-offset", 0)
    };
    let answer = post("PATCH").header("content-type", BYTES).body("01234").send().await.unwrap();
    assert_eq!((answer.status().as_u16(), header(&answer, "upload-offset")), (204, Some("5")));
    let answer = post("head").send().await.unwrap();
    assert_eq!((answer.status().as_u16(), header(&answer, "upload-length")), (200, Some("5")));
    assert_eq!(post("DELETE").send().await.unwrap().status(), 204);
    assert_eq!(jane.head_status(&path).await, 410);
}

#[tokio::test]
async fn the_first_bytes_can_come_with_the_creation() {
    let app = TestApp::new().await;
    let (jane, bytes) = (app.therapist("jane").await, numbered(1000));
    let create = |length: usize, body: &[u8]| {
        let request = jane.tus(Method::POST, "/uploads").header("upload-length", length);
        request.header("content-type", BYTES).body(body.to_vec())
    };
    let answer = create(1000, &bytes[..400]).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), header(&answer, "upload-offset")), (201, Some("400")));
    let path = header(&answer, "location").unwrap().to_owned();
    assert_eq!(jane.send(&path, 400, &bytes[400..]).await, 204);
    assert_eq!(kept(&app, &path).await, bytes);
    let files = app.files();
    // Of what the client is not told of, nothing stays.
    let wrong = STANDARD.encode(Sha1::digest(b"something else"));
    let answer = create(1000, &bytes).header("upload-checksum", format!("sha1 {wrong}")).send().await;
    assert_eq!(answer.unwrap().status(), 460);
    assert_eq!(create(10, &bytes).send().await.unwrap().status(), 413);
    assert_eq!((open(&app).await, app.files()), (1, files));
}

#[tokio::test]
async fn the_length_can_be_told_later_and_once() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let create = jane.tus(Method::POST, "/uploads").header("upload-defer-length", "1").send().await.unwrap();
    let path = header(&create, "location").unwrap().to_owned();
    assert_eq!(jane.send(&path, 0, b"01234").await, 204);
    let head = jane.tus(Method::HEAD, &path).send().await.unwrap();
    assert_eq!((header(&head, "upload-defer-length"), header(&head, "upload-length")), (Some("1"), None));
    let sending = |offset, bytes: &[u8], length: usize| {
        jane.patch(&path, offset, bytes).header("upload-length", length)
    };
    assert_eq!(sending(5, b"", 4).send().await.unwrap().status(), 400, "less than has arrived");
    assert_eq!(sending(5, b"", 100 * 1024 * 1024 + 1).send().await.unwrap().status(), 413);
    assert_eq!(sending(5, b"56", 8).send().await.unwrap().status(), 204);
    assert_eq!(sending(7, b"7", 9).send().await.unwrap().status(), 400, "it was told");
    assert_eq!(sending(7, b"7", 8).send().await.unwrap().status(), 204);
    let head = jane.tus(Method::HEAD, &path).send().await.unwrap();
    assert_eq!((header(&head, "upload-defer-length"), header(&head, "upload-length")), (None, Some("8")));
    assert_eq!(kept(&app, &path).await, b"01234567");
}

#[tokio::test]
async fn bytes_that_do_not_match_their_checksum_are_not_kept() {
    let app = TestApp::configured(&[], |config| config.upload.part_bytes = 100).await;
    let (jane, bytes) = (app.therapist("jane").await, numbered(1000));
    let path = jane.begun(1000).await;
    let sending = |range: std::ops::Range<usize>, checksum: String| {
        jane.patch(&path, range.start, &bytes[range]).header("upload-checksum", checksum)
    };
    let sha1 = format!("sha1 {}", STANDARD.encode(Sha1::digest(&bytes[..700])));
    let sha256 = format!("sha256 {}", STANDARD.encode(Sha256::digest(&bytes[700..])));
    assert_eq!(sending(0..700, sha256.clone()).send().await.unwrap().status(), 460);
    assert_eq!((jane.offset(&path).await, app.files().len()), (0, 0));
    assert_eq!(sending(0..700, "md5 XrY7u+Ae7tCTyyK7j1rNww==".into()).send().await.unwrap().status(), 400);
    assert_eq!(sending(0..700, sha1).send().await.unwrap().status(), 204);
    assert_eq!(sending(700..1000, sha256).send().await.unwrap().status(), 204);
    assert_eq!(kept(&app, &path).await, bytes);
}

#[tokio::test]
async fn an_upload_that_is_given_up_is_gone_with_its_bytes() {
    let app = TestApp::new().await;
    let jane = app.therapist("jane").await;
    let path = jane.begun(1000).await;
    assert_eq!(jane.send(&path, 0, &numbered(500)).await, 204);
    let delete = || async { jane.tus(Method::DELETE, &path).send().await.unwrap().status() };
    assert_eq!(delete().await, 204);
    assert_eq!(
        (delete().await, jane.head_status(&path).await),
        (410.try_into().unwrap(), 410.try_into().unwrap())
    );
    assert_eq!(jane.send(&path, 500, b"more").await, 410);
    assert!(app.files().is_empty(), "{:?}", app.files());
    let told = "SELECT count(*) FROM audit_events WHERE action IN ('upload.create', 'upload.terminate')";
    assert_eq!(app.count(told).await, 2);
}

#[tokio::test]
async fn an_upload_expires_some_time_after_its_last_bytes_and_leaves_nothing() {
    let app = TestApp::with(&[("UPLOAD_EXPIRES_HOURS", "2")]).await;
    let jane = app.therapist("jane").await;
    let ends = |answer: &reqwest::Response| {
        DateTime::parse_from_rfc2822(header(answer, "upload-expires").unwrap()).unwrap().to_utc()
    };
    let begun = jane.begin(1000).await;
    let start = crate::support::today();
    assert_eq!(ends(&begun), start + TimeDelta::hours(2));
    let path = header(&begun, "location").unwrap().to_owned();
    app.clock.advance(TimeDelta::minutes(20));
    let answer = jane.patch(&path, 0, &numbered(500)).send().await.unwrap();
    assert_eq!(ends(&answer), start + TimeDelta::minutes(140));
    app.clock.advance(TimeDelta::minutes(119));
    // Not all the time: access tokens end after half an hour.
    let jane = app.anonymous().with_token(
        app.anonymous().log_in("jane@example.com", crate::support::PASSWORD).await["accessToken"]
            .as_str()
            .unwrap(),
    );
    assert_eq!(jane.offset(&path).await, 500);
    app.clock.advance(TimeDelta::minutes(1));
    assert_eq!(jane.head_status(&path).await, 410);
    assert_eq!(jane.send(&path, 500, b"more").await, 410);
    assert_eq!(app.app.unfinished.sweep().await.unwrap(), 0, "what was on its way may still come");
    // As if a process had died between putting a part and writing it down.
    let orphan = app.app.storage.spool().unwrap();
    let owner: uuid::Uuid = sqlx::query_scalar("SELECT therapist_id FROM unfinished_uploads")
        .fetch_one(app.app.pool())
        .await
        .unwrap();
    let key = format!("{owner}/{}/part-000000000500-orphan", crate::support::tus::id_of(&path));
    app.app.storage.put(&key, orphan).await.unwrap();
    app.clock.advance(TimeDelta::minutes(61));
    assert_eq!(app.files().len(), 2);
    assert_eq!(app.app.unfinished.sweep().await.unwrap(), 1);
    assert_eq!((app.files().len(), app.count("SELECT count(*) FROM unfinished_uploads").await), (0, 0));
}
