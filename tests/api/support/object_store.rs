//! A scripted object store: enough of S3 over real HTTP on this machine, failing where a test tells it to.
//!
//! ```ignore
//! let store = ScriptedStore::start().await;
//! let app = TestApp::with(&store.settings()).await;
//! store.fail(Step::Part, Fault::Status(503));    // from now on …
//! store.heal();                                  // … until now
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use futures::{StreamExt, stream};
use tokio::net::TcpListener;

/// The bucket and folder the server is told to use.
const URL: &str = "s3://recordings/practice";
const BUCKET: &str = "/recordings/";
const MODIFIED: (&str, &str) = ("2026-03-10T09:00:00.000Z", "Tue, 10 Mar 2026 09:00:00 GMT");

/// What a client can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// A file in one request.
    Put,
    /// Begin an upload in parts.
    Begin,
    /// A part of it.
    Part,
    /// Make a file of its parts.
    Complete,
    /// Give it up.
    Abort,
    /// Read a file.
    Get,
    /// Remove one.
    Delete,
    /// What is there?
    List,
    /// How large is it?
    Head,
}

pub(crate) const STEPS: [Step; 9] = [
    Step::Put,
    Step::Begin,
    Step::Part,
    Step::Complete,
    Step::Abort,
    Step::Get,
    Step::Delete,
    Step::List,
    Step::Head,
];

/// How a step fails.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// An error, and nothing is done.
    Status(u16),
    /// The same, so many times.
    Times(u16, usize),
    /// The connection is cut before anything is done.
    Cut,
    /// It is done, and the connection is cut instead of an answer.
    CutAfter,
    /// Never answers.
    Hang,
    /// Answers a byte at a time, for ever (reading).
    Drip,
    /// The connection is cut in the middle of the answer (reading).
    HalfAnswer,
}

/// The store; it stops when dropped.
pub(crate) struct ScriptedStore {
    address: SocketAddr,
    shared: Arc<Mutex<Kept>>,
    server: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Kept {
    files: BTreeMap<String, Bytes>,
    /// When files were put, where that is not the time that all are put at.
    modified: BTreeMap<String, String>,
    /// Files that are not let go of.
    stubborn: BTreeSet<String>,
    /// By id: key and parts.
    uploads: BTreeMap<String, (String, BTreeMap<u32, Bytes>)>,
    begun: usize,
    faults: BTreeMap<Step, Fault>,
    asked: Vec<Step>,
    largest_body: usize,
}

type Shared = Arc<Mutex<Kept>>;

impl ScriptedStore {
    /// Listens on a free port of this machine.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Shared::default();
        let router = Router::new().fallback(serve).with_state(shared.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, shared, server }
    }

    /// What makes a server use it, and give up on it after seconds.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("STORAGE_URL", URL.into()),
            ("AWS_ENDPOINT", format!("http://{}", self.address)),
            ("AWS_ALLOW_HTTP", "true".into()),
            ("AWS_ACCESS_KEY_ID", "key".into()),
            ("AWS_SECRET_ACCESS_KEY", "secret".into()),
            ("STORAGE_TIMEOUT_SECONDS", "2".into()),
        ]
    }

    /// From now on this step fails.
    pub(crate) fn fail(&self, step: Step, fault: Fault) {
        self.kept().faults.insert(step, fault);
    }

    /// Nothing fails any more.
    pub(crate) fn heal(&self) {
        let mut kept = self.kept();
        kept.faults.clear();
        kept.stubborn.clear();
    }

    /// Keys and contents, the server's folder taken off.
    pub(crate) fn files(&self) -> BTreeMap<String, Bytes> {
        let named = |(key, file): (&String, &Bytes)| {
            (key.strip_prefix("practice/").expect("in the server's folder").to_owned(), file.clone())
        };
        self.kept().files.iter().map(named).collect()
    }

    /// Puts a file there, at a time.
    pub(crate) fn plant(&self, key: &str, bytes: &[u8], modified: DateTime<Utc>) {
        let (mut kept, key) = (self.kept(), format!("practice/{key}"));
        kept.modified.insert(key.clone(), modified.to_rfc3339_opts(SecondsFormat::Millis, true));
        kept.files.insert(key, Bytes::copy_from_slice(bytes));
    }

    /// From now on it does not let go of this file.
    pub(crate) fn hold_on_to(&self, key: &str) {
        self.kept().stubborn.insert(format!("practice/{key}"));
    }

    /// Uploads in parts that were begun and neither completed nor given up.
    pub(crate) fn open_uploads(&self) -> usize {
        self.kept().uploads.len()
    }

    /// How often a step was asked for.
    pub(crate) fn asked(&self, step: Step) -> usize {
        self.kept().asked.iter().filter(|asked| **asked == step).count()
    }

    /// The largest body of a request so far.
    pub(crate) fn largest_body(&self) -> usize {
        self.kept().largest_body
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.shared.lock().unwrap()
    }
}

impl Drop for ScriptedStore {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(
    State(shared): State<Shared>,
    Query(query): Query<BTreeMap<String, String>>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let signed = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if !signed.is_some_and(|value| value.starts_with("AWS4-HMAC-SHA256 Credential=key/")) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let Some(step) = step(&parts.method, &query) else { return StatusCode::BAD_REQUEST.into_response() };
    let fault = strike(&shared, step);
    match fault {
        Some(Fault::Status(status) | Fault::Times(status, _)) => {
            // As a busy server does: it reads what it refuses.
            let _ = to_bytes(body, usize::MAX).await;
            return StatusCode::from_u16(status).unwrap().into_response();
        }
        Some(Fault::Cut) => cut(),
        Some(Fault::Hang) => std::future::pending().await,
        _ => {}
    }
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let key = parts.uri.path().strip_prefix(BUCKET).unwrap_or_default().to_owned();
    let answer = perform(&shared, step, (key, query), &parts.headers, body);
    match fault {
        Some(Fault::CutAfter) => cut(),
        Some(Fault::Drip) => partly(answer, true).await,
        Some(Fault::HalfAnswer) => partly(answer, false).await,
        _ => answer,
    }
}

/// Ends the task that holds the connection, and the connection with it, without a word in the log.
fn cut() -> ! {
    std::panic::resume_unwind(Box::new("the connection is cut"))
}

fn strike(shared: &Shared, step: Step) -> Option<Fault> {
    let mut kept = shared.lock().unwrap();
    kept.asked.push(step);
    let fault = kept.faults.get(&step).copied();
    if let Some(Fault::Times(status, left)) = fault {
        match left {
            0 | 1 => kept.faults.remove(&step),
            _ => kept.faults.insert(step, Fault::Times(status, left - 1)),
        };
    }
    fault
}

fn step(method: &Method, query: &BTreeMap<String, String>) -> Option<Step> {
    let (in_parts, list) = (query.contains_key("uploadId"), query.contains_key("list-type"));
    match *method {
        Method::PUT if in_parts => Some(Step::Part),
        Method::PUT => Some(Step::Put),
        Method::POST if query.contains_key("uploads") => Some(Step::Begin),
        Method::POST if in_parts => Some(Step::Complete),
        Method::DELETE if in_parts => Some(Step::Abort),
        Method::DELETE => Some(Step::Delete),
        Method::GET if list => Some(Step::List),
        Method::GET => Some(Step::Get),
        Method::HEAD => Some(Step::Head),
        _ => None,
    }
}

fn perform(
    shared: &Shared,
    step: Step,
    (key, query): (String, BTreeMap<String, String>),
    headers: &HeaderMap,
    body: Bytes,
) -> Response {
    let mut kept = shared.lock().unwrap();
    kept.largest_body = kept.largest_body.max(body.len());
    let id = query.get("uploadId").cloned().unwrap_or_default();
    match step {
        Step::Put => {
            kept.files.insert(key, body);
            ([(header::ETAG, "\"whole\"")], ()).into_response()
        }
        Step::Begin => {
            kept.begun += 1;
            let id = format!("upload-{}", kept.begun);
            kept.uploads.insert(id.clone(), (key, BTreeMap::new()));
            xml(&format!(
                "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
            ))
        }
        Step::Part => {
            let Some((_, parts)) = kept.uploads.get_mut(&id) else { return no_such("Upload") };
            parts.insert(query["partNumber"].parse().unwrap(), body);
            ([(header::ETAG, format!("\"part-{}\"", query["partNumber"]))], ()).into_response()
        }
        Step::Complete => {
            let Some((key, parts)) = kept.uploads.remove(&id) else { return no_such("Upload") };
            kept.files.insert(key, parts.into_values().collect::<Vec<_>>().concat().into());
            xml("<CompleteMultipartUploadResult><ETag>\"parts\"</ETag></CompleteMultipartUploadResult>")
        }
        Step::Abort if kept.uploads.remove(&id).is_some() => StatusCode::NO_CONTENT.into_response(),
        Step::Abort => no_such("Upload"),
        Step::Delete if kept.stubborn.contains(&key) => StatusCode::FORBIDDEN.into_response(),
        Step::Delete => {
            kept.files.remove(&key);
            StatusCode::NO_CONTENT.into_response()
        }
        Step::Get => kept.files.get(&key).map_or_else(|| no_such("Key"), |file| read(file, headers)),
        Step::Head => kept.files.get(&key).map_or_else(|| no_such("Key"), describe),
        Step::List => list(&kept, &query),
    }
}

fn read(file: &Bytes, headers: &HeaderMap) -> Response {
    let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok()?.strip_prefix("bytes="));
    let (start, end) = range.and_then(|range| range.split_once('-')).expect("the server asks for ranges");
    let start: usize = start.parse().unwrap();
    let end = end.parse::<usize>().unwrap().min(file.len() - 1);
    let headers = [
        (header::CONTENT_RANGE, format!("bytes {start}-{end}/{}", file.len())),
        (header::ETAG, "\"file\"".into()),
        (header::LAST_MODIFIED, MODIFIED.1.into()),
    ];
    (StatusCode::PARTIAL_CONTENT, headers, file.slice(start..=end)).into_response()
}

/// What is known of a file, without it.
fn describe(file: &Bytes) -> Response {
    let headers = [
        (header::CONTENT_LENGTH, file.len().to_string()),
        (header::ETAG, "\"file\"".into()),
        (header::LAST_MODIFIED, MODIFIED.1.into()),
    ];
    (headers, ()).into_response()
}

/// A page at a time, so that clients have to ask for the next.
fn list(kept: &Kept, query: &BTreeMap<String, String>) -> Response {
    let files = &kept.files;
    let (prefix, after) = (query.get("prefix"), query.get("continuation-token"));
    let most = query.get("max-keys").map_or(2, |most| most.parse().unwrap()).min(2);
    let wanted = files.iter().filter(|(key, _)| prefix.is_none_or(|prefix| key.starts_with(prefix)));
    let mut rest = wanted.filter(|(key, _)| after.is_none_or(|after| *key > after));
    let page: Vec<_> = rest.by_ref().take(most).collect();
    let next = rest
        .next()
        .and(page.last())
        .map(|(key, _)| format!("<NextContinuationToken>{key}</NextContinuationToken>"));
    let files = page.iter().map(|(key, file)| {
        let size = file.len();
        let modified = kept.modified.get(*key).map_or(MODIFIED.0, String::as_str);
        format!(
            "<Contents><Key>{key}</Key><Size>{size}</Size><LastModified>{modified}</LastModified></Contents>"
        )
    });
    let files: String = files.collect();
    xml(&format!("<ListBucketResult>{files}{}</ListBucketResult>", next.unwrap_or_default()))
}

/// An answer of which only the first half comes, with a cut, or a byte at a time.
async fn partly(answer: Response, drip: bool) -> Response {
    let (parts, body) = answer.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let body = if drip {
        let bytes = stream::unfold(
            (body, tokio::time::interval(Duration::from_millis(20))),
            |(mut left, mut ticks)| async move {
                ticks.tick().await;
                (!left.is_empty()).then(|| (Ok::<_, Infallible>(left.split_to(1)), (left, ticks)))
            },
        );
        Body::from_stream(bytes)
    } else {
        let half = body.slice(..body.len() / 2);
        let broken = stream::iter([Ok(half), Err(std::io::Error::other("cut"))]);
        Body::from_stream(broken.boxed())
    };
    Response::from_parts(parts, body)
}

fn xml(body: &str) -> Response {
    ([(header::CONTENT_TYPE, "application/xml")], format!("<?xml version=\"1.0\"?>{body}")).into_response()
}

fn no_such(what: &str) -> Response {
    let body = format!("<Error><Code>NoSuch{what}</Code><Message>gone</Message></Error>");
    (StatusCode::NOT_FOUND, body).into_response()
}
